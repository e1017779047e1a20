import { elementTypes } from "./encode";
import { checkGraph, type Graph, type GraphNode, type Value } from "./graph";
import { raiseOpset } from "./opset";
import type { Provider } from "./provider";
import type { Origin } from "./scope";
import { elementCount } from "./signature";

/** Type that convolutions and matrix products are computed in. All else, and what goes in and out of a step, is float32. */
export type Precision = "float32" | "float16" | "bfloat16";

type Low = Exclude<Precision, "float32">;

/** An operator by its domain and name; the default domain is left out. */
const operator = ({ domain, op }: GraphNode) => (domain === "" ? op : `${domain}.${op}`);

/** What is computed in a low type: what ONNX Runtime's CUDA provider has kernels for. */
const PRODUCTS: Record<Low, ReadonlySet<string>> = {
  float16: new Set(["Conv", "ConvTranspose", "MatMul", "Gemm", "com.microsoft.FusedMatMul"]),
  bfloat16: new Set(["Conv", "MatMul", "Gemm", "com.microsoft.FusedMatMul"]),
};

/** They compute nothing, and move half the bytes where what they take comes from products alone, or only products read what they make. */
const MOVES: Record<Low, ReadonlySet<string>> = {
  float16: new Set(["Reshape", "Transpose", "Slice", "Concat", "Pad"]),
  bfloat16: new Set(["Reshape", "Transpose", "Slice", "Concat"]),
};

/** Multiplications under which a matrix product stays float32: a cast costs more than it gains. */
const SMALL_PRODUCT = 2 ** 16;

/**
 * What a loss is multiplied by before its derivatives are taken in float16, whose smallest normal number is 6e-5 and largest 65504. Of a
 * mean over 50,000 to 3,000,000 pixels a pixel's share is 2e-5 to 3e-7, and comes to lie at 2e-2 to 3e-4; a gradient of 63 still fits.
 * The usual 65536 does not: it overflows where the loss weighs the cross entropy by 100, as that of the architecture parameters does.
 */
const FLOAT16_LOSS_SCALE = 1024;

/** 1 but for float16: bfloat16 has the range of float32. */
export const lossScaleOf = (precision: Precision): number => (precision === "float16" ? FLOAT16_LOSS_SCALE : 1);

/** Whether an engine computes in a precision: low types are for GPUs, on CPUs ONNX Runtime takes the casts away again. */
export function supportsPrecision(engine: string, provider: Provider, precision: Precision): boolean {
  return precision === "float32" || (engine === "onnxruntime" && provider !== "cpu");
}

/**
 * The graph with the inputs of its products cast to a low type and their outputs back to float32. A value is cast once in the forward and
 * once in the backward pass: between them it is held in the type that it was computed in alone. bfloat16 raises the graph's opset.
 */
export function mixedPrecision(graph: Graph, precision: Precision): Graph {
  if (precision === "float32") return graph;
  const mixed = lowered(graph, precision);
  const result = precision === "bfloat16" ? raiseOpset(mixed) : mixed;
  checkGraph(result);
  return result;
}

function lowered(graph: Graph, low: Low): Graph {
  const inLow = nodesInLow(graph, low);
  const outputs = new Set(graph.outputs.map(({ name }) => name));
  const nodes: GraphNode[] = [];
  const lowOf = (value: Value): Value => ({ ...value, name: `${value.name}/${low}`, dtype: low });
  /** Outputs of nodes in low, by the name that they have in float32. */
  const computedLow = new Map<string, Value>();
  const casts = new Map<string, Value>();
  const cast = (from: Value, to: Value, node: GraphNode): Value => {
    const known = casts.get(to.name);
    if (known) return known;
    casts.set(to.name, to);
    nodes.push(castNode(from, to, node));
    return to;
  };
  /** A float32 value in the type that a node wants it in. */
  const wanted = (value: Value, node: GraphNode): Value => {
    if (value.dtype !== "float32") return value;
    const computed = computedLow.get(value.name);
    if (inLow.has(node) === (computed !== undefined)) return computed ?? value;
    const to = computed ? value : lowOf(value);
    return cast(computed ?? value, node.origin?.derivativeOf ? { ...to, name: `${to.name}/backward` } : to, node);
  };
  for (const node of graph.nodes) {
    if (isMove(node, low) && floats(node.inputs).every(({ name }) => computedLow.has(name))) inLow.add(node);
    const inputs = node.inputs.map((value) => wanted(value, node));
    if (!inLow.has(node)) {
      nodes.push({ ...node, inputs });
      continue;
    }
    nodes.push({ ...node, inputs, outputs: node.outputs.map(lowOf) });
    for (const output of node.outputs) {
      computedLow.set(output.name, lowOf(output));
      if (outputs.has(output.name)) cast(lowOf(output), output, node);
    }
  }
  return { ...graph, nodes };
}

/** The products, and the moves that only products read, through other moves or not. */
function nodesInLow(graph: Graph, low: Low): Set<GraphNode> {
  const inLow = new Set<GraphNode>();
  const inFloat32 = new Set(graph.outputs.map(({ name }) => name));
  for (const node of graph.nodes.toReversed()) {
    const moved = isMove(node, low) && !node.outputs.some(({ name }) => inFloat32.has(name));
    if (moved || isProduct(node, low)) inLow.add(node);
    else for (const { name } of node.inputs) inFloat32.add(name);
  }
  return inLow;
}

const floats = (values: readonly Value[]) => values.filter(({ dtype }) => dtype === "float32");

const isMove = (node: GraphNode, low: Low) => MOVES[low].has(operator(node)) && floats(node.outputs).length > 0;

/** Products of probabilities stay float32 however large: their derivatives have the whole loss in them, and would overflow. */
function isProduct(node: GraphNode, low: Low): boolean {
  const { op, inputs, outputs, origin } = node;
  if (origin?.part === "choices") return false;
  if (!PRODUCTS[low].has(operator(node)) || inputs.some(({ dtype }) => dtype !== "float32")) return false;
  const [a] = inputs;
  const [y] = outputs;
  return !op.endsWith("MatMul") || (!!a && !!y && elementCount(y.shape) * (a.shape.at(-1) ?? 1) >= SMALL_PRODUCT);
}

/** Named after the node that it serves, so that a profile counts it there. */
export function castNode(from: Value, to: Value, { name, origin }: { name: string; origin?: Origin }): GraphNode {
  const attributes = { to: elementTypes[to.dtype] };
  return {
    op: "Cast",
    name: `${name}/${to.name}`,
    domain: "",
    inputs: [from],
    outputs: [to],
    attributes,
    ...(origin && { origin }),
  };
}
