import type { Graph, GraphNode, Value } from "../graph";
import { Draft } from "../rewrites/draft";

/** Names the part of a graph that computes with whole numbers. */
export interface QuantizationPlan {
  /** Nodes that read and make whole numbers. */
  readonly nodes: ReadonlySet<GraphNode>;
  /** The quantised values by name, in the order in which they are made. */
  readonly values: ReadonlyMap<string, Value>;
  /** Those that these nodes make. A fused runtime never has them as floats, so every reader takes them rounded. */
  readonly made: ReadonlySet<string>;
  /** The value whose steps a value takes, because it is picked from that one. */
  readonly same: ReadonlyMap<string, string>;
}

/** Operators that ONNX Runtime computes with whole numbers between a DequantizeLinear and a QuantizeLinear, and faster so. */
const QUANTIZED = new Set(["Conv", "Add", "MaxPool", "Concat"]);
/** Input channels from which on a convolution or a pool is faster with whole numbers; those of an image are fewer. */
const CHANNELS = 8;

/**
 * Plans which values of a graph become uint8: what convolutions, sums of activations, max pools and concatenations read and make. A value
 * that only a ReLU reads is left out: its ReLU becomes the lower end of the range behind it. Resizes, matrix products and what reads the
 * image stay in float. `float` names further nodes that do.
 */
export function planQuantization(graph: Graph, float: ReadonlySet<string> = new Set()): QuantizationPlan {
  const draft = new Draft(graph);
  const constant = new Set(graph.initializers.map(({ value }) => value.name));
  const outputs = new Set(graph.outputs.map(({ name }) => name));
  const nodes = new Set(graph.nodes.filter((node) => !float.has(node.name) && quantizable(node, constant, draft)));
  const wanted = new Set(
    [...nodes].flatMap(({ inputs }) => inputs.flatMap(({ name }) => (constant.has(name) ? [] : [name]))),
  );
  const values = new Map<string, Value>();
  const made = new Set<string>();
  const same = new Map<string, string>();
  for (const input of graph.inputs) if (wanted.has(input.name)) values.set(input.name, input);
  const rectified = new Set<string>();
  for (const node of graph.nodes) {
    const [x] = node.inputs;
    for (const value of node.outputs) {
      const whole = nodes.has(node) || (node.op === "Relu" && x !== undefined && rectified.has(x.name));
      const next = whole && draft.readers(value) === 1 && node.op !== "Relu" && readBy(graph, value) === "Relu";
      if (next) rectified.add(value.name);
      else if (!outputs.has(value.name) && (whole || wanted.has(value.name))) {
        values.set(value.name, value);
        if (whole) made.add(value.name);
        if (x && nodes.has(node) && node.op === "MaxPool") same.set(value.name, same.get(x.name) ?? x.name);
      }
    }
  }
  return { nodes, values, made, same };
}

const readBy = ({ nodes }: Graph, { name }: Value): string | undefined =>
  nodes.find(({ inputs }) => inputs.some((input) => input.name === name))?.op;

function quantizable({ op, inputs }: GraphNode, constant: ReadonlySet<string>, draft: Draft): boolean {
  const [a, b] = inputs;
  if (!QUANTIZED.has(op) || a?.dtype !== "float32") return false;
  if (op === "Conv") return (a.shape[1] ?? 0) >= CHANNELS && draft.floats(b) !== undefined;
  if (op === "MaxPool") return (a.shape[1] ?? 0) >= CHANNELS;
  return inputs.every(({ name, shape }) => !constant.has(name) && (op === "Concat" || shape.join() === a.shape.join()));
}
