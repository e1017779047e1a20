import type { Graph, GraphNode, Initializer, Value } from "./graph";

/** First opset of the default domain whose Conv accepts bfloat16. */
const BFLOAT16_OPSET = 22;

/** The only operators of the tracer that differ between opsets 13 and 22: their axes are an input since opset 18. */
const AXES_AS_INPUT = new Set(["ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd"]);

/** Rewrites a traced graph for opset 22. */
export function raiseOpset(graph: Graph): Graph {
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
