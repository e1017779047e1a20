import type { Graph } from "../graph";
import { channelsOf, nodeOf, rewriteNodes, valueOf } from "./draft";

/**
 * The class of each pixel of enlarged logits: channels last, so that those of a pixel lie side by side and the small logits are turned, not
 * the large ones.
 */
export function enlargeChannelsLast(graph: Graph): Graph {
  return rewriteNodes(graph, (argmax, draft) => {
    const resize =
      argmax.op === "ArgMax" && argmax.attributes.axis === 1 ? draft.private(argmax.inputs[0], "Resize") : undefined;
    const [logits, none, scales, sizes] = resize?.inputs ?? [];
    const [output] = argmax.outputs;
    if (!resize || !logits || !none || !scales || !output) return undefined;
    const [n = 1, , height = 0, width = 0] = logits.shape;
    const [, , high = 0, wide = 0] = resize.outputs[0]?.shape ?? [];
    const count = channelsOf(logits);
    const turned = valueOf(`${output.name}/turned`, [n, height, width, count]);
    const large = valueOf(`${output.name}/large`, [n, high, wide, count]);
    const factors = draft.floats(scales) ?? new Float32Array();
    const [, , down = 1, right = 1] = factors;
    const target = sizes
      ? [scales, draft.vector(`${output.name}/size`, [n, high, wide, count])]
      : [draft.constant(`${output.name}/scales`, Float32Array.of(1, down, right, 1), [4])];
    return [
      nodeOf(argmax, "Transpose", [logits], turned, { perm: [0, 2, 3, 1] }),
      nodeOf(resize, "Resize", [turned, none, ...target], large, { ...resize.attributes }),
      { ...argmax, inputs: [large], attributes: { ...argmax.attributes, axis: 3 } },
    ];
  });
}
