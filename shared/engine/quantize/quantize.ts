import {
  eliminateDeadCode,
  type ElementType,
  type Graph,
  type GraphNode,
  type Initializer,
  type Value,
} from "../graph";
import { Draft } from "../rewrites/draft";
import type { QuantizationPlan } from "./plan";
import { activationSteps, quantizeFilter, type Range, type Steps } from "./steps";

/**
 * A graph in QDQ form: each quantised value passes a QuantizeLinear and a DequantizeLinear, filters are int8 and biases int32 with a
 * DequantizeLinear each. What lies between them is fused by a runtime that computes with whole numbers; any other computes the same in float.
 */
export function quantize(graph: Graph, plan: QuantizationPlan, ranges: ReadonlyMap<string, Range>): Graph {
  return new Quantizer(graph, plan, ranges).graph();
}

class Quantizer {
  private readonly draft: Draft;
  private readonly constants: Initializer[] = [];
  private readonly steps = new Map<string, Steps>();

  constructor(
    private readonly source: Graph,
    private readonly plan: QuantizationPlan,
    ranges: ReadonlyMap<string, Range>,
  ) {
    this.draft = new Draft(source);
    for (const name of plan.values.keys()) {
      const range = ranges.get(plan.same.get(name) ?? name);
      if (!range) throw new Error(`value "${name}" has no range`);
      this.steps.set(name, activationSteps(range));
    }
  }

  graph(): Graph {
    const nodes = [
      ...this.source.inputs.flatMap((input) => this.rounded(input)),
      ...this.source.nodes.flatMap((node) => [
        ...this.rewritten(node),
        ...node.outputs.flatMap((value) => this.rounded(value)),
      ]),
    ];
    return eliminateDeadCode({ ...this.source, nodes, initializers: [...this.source.initializers, ...this.constants] });
  }

  /** The nodes that round a value to its steps. */
  private rounded(value: Value): GraphNode[] {
    const steps = this.steps.get(value.name);
    if (!steps) return [];
    const scale = this.constant(`${value.name}/scale`, "float32", [], Float32Array.of(steps.scale));
    const zero = this.constant(`${value.name}/zero`, "uint8", [], Uint8Array.of(steps.zeroPoint));
    const whole: Value = { name: `${value.name}/whole`, shape: value.shape, dtype: "uint8" };
    return [
      node("QuantizeLinear", [value, scale, zero], whole),
      node("DequantizeLinear", [whole, scale, zero], this.read(value)),
    ];
  }

  /** A value after it was rounded. */
  private read(value: Value): Value {
    return this.steps.has(value.name) ? { ...value, name: `${value.name}/rounded` } : value;
  }

  private rewritten(each: GraphNode): GraphNode[] {
    const inputs = each.inputs.map((value) =>
      this.plan.nodes.has(each) || this.plan.made.has(value.name) ? this.read(value) : value,
    );
    if (each.op !== "Conv" || !this.plan.nodes.has(each)) return [{ ...each, inputs }];
    const [x, filter, bias] = each.inputs;
    const [output] = each.outputs;
    const weights = this.draft.floats(filter);
    const steps = x && this.steps.get(x.name);
    if (!filter || !weights || !output || !steps) return [{ ...each, inputs }];
    const offsets = this.draft.floats(bias) ?? new Float32Array(filter.shape[0] ?? 0);
    const whole = quantizeFilter(weights, offsets, steps.scale);
    const count = offsets.length;
    const kernel = this.dequantized(`${output.name}/filter`, "int8", filter.shape, whole.filter, whole.scales);
    const added = this.dequantized(`${output.name}/offset`, "int32", [count], whole.bias, whole.biasScales);
    return [...kernel.nodes, ...added.nodes, { ...each, inputs: [inputs[0]!, kernel.value, added.value] }];
  }

  /** A constant of whole steps per channel, and the node that makes floats of it. */
  private dequantized(
    name: string,
    dtype: "int8" | "int32",
    shape: readonly number[],
    data: Int8Array | Int32Array,
    scales: Float32Array,
  ): { nodes: GraphNode[]; value: Value } {
    const whole = this.constant(`${name}/whole`, dtype, shape, data);
    const scale = this.constant(`${name}/scale`, "float32", [scales.length], scales);
    const zeros = dtype === "int8" ? new Int8Array(scales.length) : new Int32Array(scales.length);
    const zero = this.constant(`${name}/zero`, dtype, [scales.length], zeros);
    const value: Value = { name, shape, dtype: "float32" };
    return { nodes: [node("DequantizeLinear", [whole, scale, zero], value, { axis: 0 })], value };
  }

  private constant(name: string, dtype: ElementType, shape: readonly number[], data: NodeJS.TypedArray): Value {
    const value: Value = { name, shape, dtype };
    this.constants.push({ value, data: new Uint8Array(data.buffer, data.byteOffset, data.byteLength) });
    return value;
  }
}

const node = (op: string, inputs: Value[], output: Value, attributes: GraphNode["attributes"] = {}): GraphNode => ({
  ...{ op, name: `${op}_${output.name}`, domain: "", inputs, outputs: [output], attributes },
});
