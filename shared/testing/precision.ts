import { encodeModel } from "../engine/encode";
import type { Engine } from "../engine/engine";
import type { Graph, GraphNode, Value } from "../engine/graph";
import { castNode, lossScaleOf, type Precision } from "../engine/precision";
import { createSession, sessionStep, stepGraph } from "../engine/session";

/**
 * Simulates a low precision on the CPU: rounds operands and results of products, and computes the products in float32. Without this, the
 * CPU would not show the precision: ONNX Runtime has float16 products on few CPUs and bfloat16 products on none, and removes the casts
 * around them.
 */
export function roundingEngine(precision: Precision, lossScale = lossScaleOf(precision)): Engine {
  return {
    name: `rounding/${precision}`,
    lossScale,
    compile: async (step, signature, name = "step") => {
      const { graph, outputs } = stepGraph(step, signature, precision);
      const model = encodeModel(rounded(graph), name);
      const session = await createSession(
        model,
        { provider: "cpu", threads: 1 },
        { graphOptimizationLevel: "disabled" },
      );
      return sessionStep(session, graph.nodes.length, signature, outputs, "cpu");
    },
  };
}

const PRODUCTS = new Set(["Conv", "ConvTranspose", "MatMul", "FusedMatMul", "Gemm"]);

function rounded(graph: Graph): Graph {
  const nodes: GraphNode[] = [];
  // ONNX Runtime removes a cast beside its inverse; an Identity between them keeps both.
  const identity = (name: string, from: Value, to: Value) =>
    nodes.push({ op: "Identity", name, domain: "", inputs: [from], outputs: [to], attributes: {} });
  for (const node of graph.nodes) {
    const [output] = node.outputs;
    if (!PRODUCTS.has(node.op) || !output || output.dtype === "float32") {
      nodes.push(node);
      continue;
    }
    const inputs = node.inputs.map((input, i) => {
      const held = { ...input, name: `${node.name}/held${i}` };
      const wide: Value = { ...input, name: `${node.name}/wide${i}`, dtype: "float32" };
      identity(held.name, input, held);
      nodes.push(castNode(held, wide, node));
      return wide;
    });
    const product: Value = { ...output, name: `${node.name}/product`, dtype: "float32" };
    const narrow = { ...output, name: `${node.name}/narrow` };
    nodes.push({ ...node, inputs, outputs: [product] }, castNode(product, narrow, node));
    identity(`${node.name}/result`, narrow, output);
  }
  return { ...graph, nodes };
}
