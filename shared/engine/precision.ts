import { elementTypes } from "./encode";
import { checkGraph, eliminateDeadCode, type Graph, type GraphNode, type Value } from "./graph";
import { raiseOpset } from "./opset";
import type { Provider } from "./provider";
import type { Origin } from "./scope";
import { elementCount } from "./signature";

/** Type that convolutions and matrix products are computed in. All else, and what goes in and out of a step, is float32. */
export type Precision = "float32" | "float16" | "bfloat16";

type Low = Exclude<Precision, "float32">;

/** What is computed in a low type: what ONNX Runtime's CUDA provider has kernels for. */
const PRODUCTS: Record<Low, ReadonlySet<string>> = {
  float16: new Set(["Conv", "ConvTranspose", "MatMul", "Gemm"]),
  bfloat16: new Set(["Conv", "MatMul", "Gemm"]),
};

/** They compute nothing, so that they may move half the bytes where products alone read what they move. */
const MOVES: Record<Low, ReadonlySet<string>> = {
  float16: new Set(["Reshape", "Transpose", "Slice", "Concat", "Pad"]),
  bfloat16: new Set(["Reshape", "Transpose", "Slice", "Concat"]),
};

/** Multiplications under which a matrix product stays float32: a cast costs more than it gains, and products of probabilities are among them. */
const SMALL_PRODUCT = 2 ** 16;

/**
 * What a loss is multiplied by before its derivatives are taken in float16, whose smallest normal number is 6e-5 and largest 65504. Of a
 * mean over 50,000 to 3,000,000 pixels a pixel's share is 2e-5 to 3e-7, and comes to lie at 2e-2 to 3e-4; a gradient of 63 still fits.
 */
const FLOAT16_LOSS_SCALE = 1024;

/** 1 but for float16: bfloat16 has the range of float32. */
export const lossScaleOf = (precision: Precision): number => (precision === "float16" ? FLOAT16_LOSS_SCALE : 1);

/** Whether an engine computes in a precision: low types are for GPUs, on the CPU ONNX Runtime would cast around each node. */
export function supportsPrecision(engine: string, provider: Provider, precision: Precision): boolean {
  return precision === "float32" || (engine === "onnxruntime" && provider !== "cpu");
}

/**
 * The graph with the inputs of its products cast to a low type and their outputs back to float32. A value is cast once; a product takes the
 * low output of another as it is. bfloat16 raises the graph's opset.
 */
export function mixedPrecision(graph: Graph, precision: Precision): Graph {
  if (precision === "float32") return graph;
  const mixed = lowered(graph, precision);
  const result = eliminateDeadCode(precision === "bfloat16" ? raiseOpset(mixed) : mixed);
  checkGraph(result);
  return result;
}

function lowered(graph: Graph, low: Low): Graph {
  const inLow = nodesInLow(graph, low);
  const nodes: GraphNode[] = [];
  const known = new Map<string, Value>();
  const lowOf = (value: Value): Value => ({ ...value, name: `${value.name}/${low}`, dtype: low });
  for (const node of graph.nodes) {
    if (!inLow.has(node)) {
      nodes.push(node);
      continue;
    }
    const inputs = node.inputs.map((value) => {
      if (value.dtype !== "float32") return value;
      let cast = known.get(value.name);
      if (cast === undefined) {
        known.set(value.name, (cast = lowOf(value)));
        nodes.push(castNode(value, cast, node));
      }
      return cast;
    });
    nodes.push({ ...node, inputs, outputs: node.outputs.map(lowOf) });
    // Dead code where nobody reads it in float32.
    for (const output of node.outputs) {
      known.set(output.name, lowOf(output));
      nodes.push(castNode(lowOf(output), output, node));
    }
  }
  return { ...graph, nodes };
}

/** The products, and the moves that only products read, through other moves or not. */
function nodesInLow(graph: Graph, low: Low): Set<GraphNode> {
  const inLow = new Set<GraphNode>();
  const inFloat32 = new Set(graph.outputs.map(({ name }) => name));
  for (const node of graph.nodes.toReversed()) {
    const moved =
      MOVES[low].has(node.op) && node.outputs.every(({ name, dtype }) => dtype === "float32" && !inFloat32.has(name));
    if (node.domain === "" && (moved || isProduct(node, low))) inLow.add(node);
    else for (const { name } of node.inputs) inFloat32.add(name);
  }
  return inLow;
}

function isProduct({ op, inputs, outputs }: GraphNode, low: Low): boolean {
  if (!PRODUCTS[low].has(op) || inputs.some(({ dtype }) => dtype !== "float32")) return false;
  const [a] = inputs;
  const [y] = outputs;
  return op !== "MatMul" || (!!a && !!y && elementCount(y.shape) * (a.shape.at(-1) ?? 1) >= SMALL_PRODUCT);
}

/** Named after the node that it serves, so that a profile counts it there. */
function castNode(from: Value, to: Value, { name, origin }: { name: string; origin?: Origin }): GraphNode {
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
