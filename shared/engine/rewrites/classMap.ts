import type { Graph, GraphNode } from "../graph";
import { channelsOf, nodeOf, rewriteNodes, valueOf, type Draft } from "./draft";

/**
 * The class of each pixel of enlarged logits: channels last, so that those of a pixel lie side by side and the small logits are turned, not
 * the large ones.
 */
export function enlargeChannelsLast(graph: Graph): Graph {
  return rewriteNodes(graph, (argmax, draft) => {
    const resize = enlarged(argmax, draft);
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

/**
 * The class of each pixel is that of the nearest cell of the logits before their last enlargement. This is not the same function: classes
 * change where bilinear logits cross between two cells. It is for those who measure the share of pixels that keep their class.
 */
export function decideEarly(graph: Graph): Graph {
  return rewriteNodes(graph, (argmax, draft) => {
    const [logits] = enlarged(argmax, draft)?.inputs ?? [];
    const [output] = argmax.outputs;
    if (!logits || !output) return undefined;
    const [n = 1, count = 0, height = 0, width = 0] = logits.shape;
    const [, high = 0, wide = 0] = output.shape;
    const cells = (name: string, shape: number[]) => ({ name: `${output.name}/${name}`, shape, dtype: output.dtype });
    const turned = valueOf(`${output.name}/turned`, [n, width, height, count]);
    const small = cells("small", [n, width, height]);
    const columns = cells("columns", [n, wide, height]);
    const rows = cells("rows", [n, height, wide]);
    const [across, down] = [nearest(width, wide), nearest(height, high)];
    // Columns first, as rows of the turned map: whole rows are copied faster than single cells.
    return [
      nodeOf(argmax, "Transpose", [logits], turned, { perm: [0, 3, 2, 1] }),
      { ...argmax, inputs: [turned], outputs: [small], attributes: { ...argmax.attributes, axis: 3 } },
      nodeOf(argmax, "Gather", [small, draft.vector(`${output.name}/across`, across)], columns, { axis: 1 }),
      nodeOf(argmax, "Transpose", [columns], rows, { perm: [0, 2, 1] }),
      nodeOf(argmax, "Gather", [rows, draft.vector(`${output.name}/down`, down)], output, { axis: 1 }),
    ];
  });
}

/** The resize of logits that an ArgMax over the channels alone reads. */
const enlarged = ({ op, attributes, inputs }: GraphNode, draft: Draft): GraphNode | undefined =>
  op === "ArgMax" && attributes.axis === 1 ? draft.private(inputs[0], "Resize") : undefined;

/** The nearest of `from` points for each of `to`, with equal ends, as the bilinear resize of a network has them (shared/engine/ops/resize.ts). */
function nearest(from: number, to: number): number[] {
  return Array.from({ length: to }, (_, at) => (to > 1 ? Math.round((at * (from - 1)) / (to - 1)) : 0));
}
