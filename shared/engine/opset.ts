import type { Graph, GraphNode, Initializer, Value } from "./graph";

/** The first version of the default domain whose Conv takes bfloat16. */
const BFLOAT16_OPSET = 22;

/** Of what the tracer writes, all that differs between its version and 22: the axes of these are an input since 18. */
const AXES_AS_INPUT = new Set(["ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd"]);

/** A traced graph in version 22 of the default domain. */
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
