import { affineOf, type Affine } from "./affine";
import type { Graph, GraphNode, Initializer, Value } from "./graph";

/**
 * Folds batch norms with constant parameters into the convolutions before them: it scales the filters per output channel and turns the
 * shift into a bias. A norm after a concatenation of channels is first split into one norm per part. A norm stays a node if its
 * parameters or the filters are not constant, if its input has another reader, or if the input comes from another operator.
 */
export function foldBatchNorm(graph: Graph): Graph {
  const folding = new Folding(graph);
  for (const node of graph.nodes) {
    if (node.op === "BatchNormalization") folding.fold(node);
    else folding.nodes.push(node);
  }
  return { ...graph, nodes: folding.nodes, initializers: [...folding.constants.values()] };
}

class Folding {
  readonly nodes: GraphNode[] = [];
  readonly constants: Map<string, Initializer>;
  private readonly uses = new Map<string, number>();

  constructor(graph: Graph) {
    this.constants = new Map(graph.initializers.map((entry) => [entry.value.name, entry]));
    const used = (value: Value) => this.uses.set(value.name, (this.uses.get(value.name) ?? 0) + 1);
    for (const node of graph.nodes) node.inputs.forEach(used);
    graph.outputs.forEach(used);
  }

  fold(norm: GraphNode): void {
    const [x] = norm.inputs;
    const output = norm.outputs[0];
    const affine = affineOf(norm, (value) => this.floats(value));
    if (!x || !output || !affine) {
      this.nodes.push(norm);
      return;
    }
    this.apply(x, affine, output, norm);
  }

  /** Applies the affine map to x and names the result `output`; folds the map into the producer of x if nothing else reads x. */
  private apply(x: Value, affine: Affine, output: Value, norm: GraphNode): void {
    const at = this.nodes.findLastIndex((node) => node.outputs.some((value) => value.name === x.name));
    const producer = this.nodes[at];
    const alone = this.uses.get(x.name) === 1;
    if (producer && alone && producer.op === "Conv" && this.foldConv(at, producer, affine, output)) return;
    if (producer && alone && producer.op === "Concat" && producer.attributes.axis === 1) {
      let first = 0;
      const parts = producer.inputs.map((part, index) => {
        const width = part.shape[1] ?? 0;
        const slice = {
          scale: affine.scale.slice(first, first + width),
          shift: affine.shift.slice(first, first + width),
        };
        first += width;
        const value = { ...part, name: `${output.name}/part${index}` };
        return { part, slice, value };
      });
      this.nodes.splice(at, 1);
      for (const { part, slice, value } of parts) this.apply(part, slice, value, norm);
      this.nodes.push({ ...producer, inputs: parts.map(({ value }) => value), outputs: [output] });
      return;
    }
    const vector = (name: string, values: Float32Array) =>
      this.constant(`${output.name}/${name}`, values, [values.length]);
    const zeros = new Float32Array(affine.scale.length);
    const ones = new Float32Array(affine.scale.length).fill(1);
    this.nodes.push({
      ...norm,
      name: `${norm.name}/${output.name}`,
      inputs: [
        x,
        vector("scale", affine.scale),
        vector("shift", affine.shift),
        vector("mean", zeros),
        vector("variance", ones),
      ],
      outputs: [output],
      attributes: { ...norm.attributes, epsilon: { float: 0 } },
    });
  }

  private foldConv(at: number, conv: GraphNode, { scale, shift }: Affine, output: Value): boolean {
    const [x, filter, bias] = conv.inputs;
    const weights = filter && this.floats(filter);
    const before = bias ? this.floats(bias) : new Float32Array(scale.length);
    if (!x || !filter || !weights || !before) return false;
    const perOutput = weights.length / scale.length;
    const folded = weights.map((w, index) => w * (scale[Math.floor(index / perOutput)] ?? 0));
    const shifted = shift.map((b, c) => b + (before[c] ?? 0) * (scale[c] ?? 0));
    this.nodes.splice(at, 1);
    this.nodes.push({
      ...conv,
      inputs: [
        x,
        this.constant(`${output.name}/kernel`, folded, filter.shape),
        this.constant(`${output.name}/bias`, shifted, [shifted.length]),
      ],
      outputs: [output],
    });
    return true;
  }

  private floats(value: Value): Float32Array | undefined {
    const data = this.constants.get(value.name)?.data;
    if (!data || value.dtype !== "float32") return undefined;
    return new Float32Array(data.slice().buffer);
  }

  private constant(name: string, values: Float32Array, shape: readonly number[]): Value {
    const value: Value = { name, shape, dtype: "float32" };
    this.constants.set(name, { value, data: new Uint8Array(values.buffer, values.byteOffset, values.byteLength) });
    return value;
  }
}
