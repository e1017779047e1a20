import type { Attribute, ElementType, Graph, GraphNode, Initializer, Value } from "./graph";
import { currentPlace } from "./scope";

/** Collects the nodes and constants of one graph while a step is traced; equal nodes and equal small constants are kept once. */
export class Recorder {
  private readonly inputs: Value[] = [];
  private readonly nodes: GraphNode[] = [];
  private readonly initializers: Initializer[] = [];
  private readonly small = new Map<string, Value>();
  private readonly parts = new Map<string, string>();
  private readonly ones = new Set<string>();
  private readonly computed = new Map<string, Value>();
  /** The original value of each reshaped value. */
  private readonly reshaped = new Map<string, Value>();
  private count = 0;
  /** The kernel whose rule is being applied. */
  kernel = "";

  /** `prefix` begins the names of values, so that several graphs can be joined. */
  constructor(private readonly prefix = "_") {}

  input(name: string, shape: readonly number[], dtype: ElementType): Value {
    const value = { name, shape: [...shape], dtype };
    this.inputs.push(value);
    return value;
  }

  /** A named constant, for example a trained weight of an exported network. */
  weight(name: string, data: ArrayLike<number>, shape: readonly number[], dtype: ElementType): Value {
    return this.initializer(name, shape, dtype, () => data);
  }

  constant(data: ArrayLike<number>, shape: readonly number[], dtype: ElementType): Value {
    const key = data.length <= 32 ? `${dtype}[${shape.join()}]${Array.from(data, numeral).join()}` : undefined;
    const known = key === undefined ? undefined : this.small.get(key);
    if (known !== undefined) return known;
    const name = this.fresh("c");
    const { length } = data;
    const ones = isOnes(data);
    // A large constant of ones is created only when it is needed.
    const value = this.initializer(name, shape, dtype, ones ? () => new Uint8Array(length).fill(1) : () => data);
    if (ones) this.ones.add(name);
    if (key !== undefined) this.small.set(key, value);
    return value;
  }

  /**
   * TF.js creates zeros and ones of the size of the activations, for unused derivatives and for derivatives of sums. Few of them end up in
   * the graph, so the bytes of a constant are created on demand.
   */
  private initializer(
    name: string,
    shape: readonly number[],
    dtype: ElementType,
    data: () => ArrayLike<number>,
  ): Value {
    const value = { name, shape: [...shape], dtype };
    let packed: Uint8Array | undefined;
    this.initializers.push({
      value,
      get data() {
        return (packed ??= pack(data(), dtype));
      },
    });
    return value;
  }

  /** Whether a value is a constant that contains only ones. */
  isOnes({ name }: Value): boolean {
    return this.ones.has(name);
  }

  /** A vector of int64, as ONNX requires for shapes, axes and paddings. */
  integers(data: readonly number[]): Value {
    return this.constant(data, [data.length], "int64");
  }

  scalar(x: number, dtype: ElementType = "float32"): Value {
    return this.constant([x], [], dtype);
  }

  node(
    op: string,
    inputs: readonly Value[],
    shape: readonly number[],
    dtype: ElementType,
    attributes: Record<string, Attribute> = {},
    domain = "",
  ): Value {
    const key = [domain, op, inputs.map(({ name }) => name).join(), JSON.stringify(attributes)].join(" ");
    const known = this.computed.get(key);
    if (known !== undefined) return known;
    const output = { name: this.fresh("t"), shape: [...shape], dtype };
    this.computed.set(key, output);
    this.append(op, inputs, [output], attributes, domain);
    return output;
  }

  /** x in another shape. Consecutive reshapes become one, because every node costs time. */
  reshape(x: Value, shape: readonly number[]): Value {
    const source = this.reshaped.get(x.name) ?? x;
    if (source.shape.join() === shape.join()) return source;
    const result = this.node("Reshape", [source, this.integers(shape)], shape, x.dtype);
    this.reshaped.set(result.name, source);
    return result;
  }

  /** A node with several outputs of one type. */
  split(
    op: string,
    inputs: readonly Value[],
    shapes: readonly (readonly number[])[],
    dtype: ElementType,
    attributes: Record<string, Attribute>,
  ): Value[] {
    const outputs = shapes.map((shape) => ({ name: this.fresh("t"), shape: [...shape], dtype }));
    this.append(op, inputs, outputs, attributes);
    return outputs;
  }

  /** The graph with the given output names. The producing node is renamed; a copy is inserted only if renaming is impossible. */
  finish(outputs: Readonly<Record<string, Value>>): Graph {
    const renamed = new Map<string, Value>();
    const produced = new Set(this.nodes.flatMap((node) => node.outputs.map((output) => output.name)));
    const copies: GraphNode[] = [];
    const results = Object.entries(outputs).map(([name, value]) => {
      const result = { ...value, name };
      if (produced.has(value.name) && !renamed.has(value.name)) renamed.set(value.name, result);
      else
        copies.push({
          op: "Identity",
          name: `Identity_${name}`,
          domain: "",
          inputs: [value],
          outputs: [result],
          attributes: {},
        });
      return result;
    });
    const rename = (value: Value): Value => renamed.get(value.name) ?? value;
    const nodes = [...this.nodes, ...copies].map((node) => ({
      ...node,
      inputs: node.inputs.map(rename),
      outputs: node.outputs.map(rename),
    }));
    return { inputs: this.inputs, outputs: results, nodes, initializers: this.initializers };
  }

  /** Marks the nodes of a part of a rule, for profiles: their kernel is "<kernel>/<name>". */
  within<T>(name: string, body: () => T): T {
    const outer = this.kernel;
    this.kernel = `${outer}/${name}`;
    const result = body();
    this.kernel = outer;
    return result;
  }

  private append(
    op: string,
    inputs: readonly Value[],
    outputs: Value[],
    attributes: Record<string, Attribute>,
    domain = "",
  ): void {
    const { part: named, derivativeOf } = currentPlace();
    // A node outside every part, for example a sum of derivatives, gets the part of its last input.
    const part = named || (inputs.map(({ name }) => this.parts.get(name)).findLast(Boolean) ?? "");
    if (part) for (const output of outputs) this.parts.set(output.name, part);
    const name = `${part && `${part}/`}${op}_${this.nodes.length}`;
    const origin = { part, kernel: this.kernel, derivativeOf };
    this.nodes.push({ op, name, domain, inputs, outputs, attributes, origin });
  }

  private fresh(kind: string): string {
    return `${this.prefix}${kind}${this.count++}`;
  }
}

function isOnes(data: ArrayLike<number>): boolean {
  for (let at = 0; at < data.length; at++) if (data[at] !== 1) return false;
  return true;
}

// -0 and 0 must remain different constants.
const numeral = (x: number): string => (Object.is(x, -0) ? "-0" : String(x));

function pack(data: ArrayLike<number>, dtype: ElementType): Uint8Array {
  if (dtype === "bool") return Uint8Array.from(data, (x) => (x ? 1 : 0));
  const typed =
    dtype === "float32"
      ? Float32Array.from(data)
      : dtype === "int32"
        ? Int32Array.from(data)
        : BigInt64Array.from(Array.from(data), (x) => BigInt(x));
  return new Uint8Array(typed.buffer, 0, typed.byteLength);
}
