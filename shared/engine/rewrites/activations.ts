import type { Graph } from "../graph";
import { nodeOf, rewriteNodes, valueOf } from "./draft";

/** ReLU of concatenated convolutions becomes a ReLU of each, which ONNX Runtime computes within the convolution. */
export function activateParts(graph: Graph): Graph {
  return rewriteNodes(graph, (relu, draft) => {
    const concat = relu.op === "Relu" ? draft.private(relu.inputs[0], "Concat") : undefined;
    const [output] = relu.outputs;
    if (!concat || !output || !concat.inputs.every((part) => draft.private(part, "Conv"))) return undefined;
    const parts = concat.inputs.map((part, at) => valueOf(`${output.name}/part${at}`, part.shape));
    return [
      ...concat.inputs.map((part, at) => nodeOf(relu, "Relu", [part], parts[at] ?? part)),
      nodeOf(concat, "Concat", parts, output, { ...concat.attributes }),
    ];
  });
}
