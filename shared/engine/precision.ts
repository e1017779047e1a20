import { elementTypes } from "./encode";
import { checkGraph, type Graph, type GraphNode, type Initializer, type Value } from "./graph";
import type { Provider } from "./provider";
import type { Origin } from "./scope";
import { elementCount } from "./signature";

/** Type in which convolutions and matrix products are computed. Everything else, and the inputs and outputs of a step, is float32. */
export type Precision = "float32" | "float16" | "bfloat16";

type Low = Exclude<Precision, "float32">;

/** An operator as "domain.name", or "name" for the default domain. */
const operator = ({ domain, op }: GraphNode) => (domain === "" ? op : `${domain}.${op}`);

/** Operators that are computed in a low type; ONNX Runtime's CUDA provider has kernels for them. */
const PRODUCTS: Record<Low, ReadonlySet<string>> = {
  float16: new Set(["Conv", "ConvTranspose", "MatMul", "Gemm", "com.microsoft.FusedMatMul"]),
  bfloat16: new Set(["Conv", "MatMul", "Gemm", "com.microsoft.FusedMatMul"]),
};

/**
 * Operators that only move values. They use the low type if all their inputs come from products, or if only products read their outputs.
 */
const MOVES: Record<Low, ReadonlySet<string>> = {
  float16: new Set(["Reshape", "Transpose", "Slice", "Concat", "Pad"]),
  bfloat16: new Set(["Reshape", "Transpose", "Slice", "Concat"]),
};

/** A matrix product with fewer multiplications stays float32, because a cast costs more than it gains. */
const SMALL_PRODUCT = 2 ** 16;

/**
 * Factor of the loss before differentiation in float16, whose normal numbers reach from 6e-5 to 65504. In a mean over 50,000 to 3,000,000
 * pixels, the share of one pixel is 2e-5 to 3e-7; the factor moves it to 2e-2 to 3e-4, and a gradient of 63 still fits. The usual 65536
 * would overflow in the loss of the architecture parameters, which weighs the cross entropy by 100.
 */
const FLOAT16_LOSS_SCALE = 1024;

/** The factor of the loss: 1 except for float16, since bfloat16 has the range of float32. */
export const lossScaleOf = (precision: Precision): number => (precision === "float16" ? FLOAT16_LOSS_SCALE : 1);

/** Whether an engine supports a precision. Low types need a GPU: on CPUs ONNX Runtime removes the casts. */
export function supportsPrecision(engine: string, provider: Provider, precision: Precision): boolean {
  return precision === "float32" || (engine === "onnxruntime" && provider !== "cpu");
}

/**
 * Casts the inputs of the graph's products to a low type and their outputs back to float32. A value is cast once in the forward and once
 * in the backward pass; in between, only the type in which it was computed is kept. bfloat16 raises the graph's opset.
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
  /** Outputs of low-precision nodes, by their names in float32. */
  const computedLow = new Map<string, Value>();
  const casts = new Map<string, Value>();
  const cast = (from: Value, to: Value, node: GraphNode): Value => {
    const known = casts.get(to.name);
    if (known) return known;
    casts.set(to.name, to);
    nodes.push(castNode(from, to, node));
    return to;
  };
  /** A float32 value in the type that a node needs. */
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

/** The products, and the moves that only products read, directly or through other moves. */
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

/** Products of probabilities stay float32 at any size: their derivatives contain the whole loss and would overflow. */
function isProduct(node: GraphNode, low: Low): boolean {
  const { op, inputs, outputs, origin } = node;
  if (origin?.part === "choices") return false;
  if (!PRODUCTS[low].has(operator(node)) || inputs.some(({ dtype }) => dtype !== "float32")) return false;
  const [a] = inputs;
  const [y] = outputs;
  return !op.endsWith("MatMul") || (!!a && !!y && elementCount(y.shape) * (a.shape.at(-1) ?? 1) >= SMALL_PRODUCT);
}

/** A cast has the origin of the node that it serves, so that a profile counts it there. */
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

/** First opset of the default domain whose Conv accepts bfloat16. */
const BFLOAT16_OPSET = 22;

/** The only operators of the tracer that differ between opsets 13 and 22: their axes are an input since opset 18. */
const AXES_AS_INPUT = new Set(["ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd"]);

/** Rewrites a traced graph for opset 22. */
function raiseOpset(graph: Graph): Graph {
  const axes: Initializer[] = [];
  const nodes = graph.nodes.map((node): GraphNode => {
    const { axes: listed, ...attributes } = node.attributes;
    if (!AXES_AS_INPUT.has(node.op) || !Array.isArray(listed)) return node;
    const data = BigInt64Array.from(listed as number[], (axis) => BigInt(axis));
    const value: Value = { name: `${node.outputs[0]?.name}/axes`, shape: [data.length], dtype: "int64" };
    axes.push({ value, data: new Uint8Array(data.buffer) });
    return { ...node, inputs: [...node.inputs, value], attributes };
  });
  return { ...graph, nodes, initializers: [...graph.initializers, ...axes], opset: BFLOAT16_OPSET };
}
