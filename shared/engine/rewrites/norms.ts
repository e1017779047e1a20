import { affineOf } from "../affine";
import type { Graph, GraphNode } from "../graph";
import { convNode, convolutionOf, diagonal, placed, POINTWISE, type Convolution } from "./convolution";
import { channelsOf, nodeOf, rewriteNodes, valueOf, type Draft } from "./draft";
import { TILE } from "./widths";

/**
 * A reduction of a network keeps one half of its batch norm: concat(conv(x), norm(pool(x))). Where the channels of both fill no more tiles than
 * those of the convolution, as in the stem, the concatenation becomes a sum: the convolution gets channels of zeros, and a 1x1 convolution
 * scales the pooled channels and puts them into their places.
 */
export function sumReductions(graph: Graph): Graph {
  return rewriteNodes(graph, (concat, draft) => {
    const [first, second] = concat.inputs;
    const [output] = concat.outputs;
    if (concat.op !== "Concat" || concat.attributes.axis !== 1 || concat.inputs.length !== 2) return undefined;
    const convolution = convolutionOf(draft.private(first, "Conv"), draft);
    const pooled = normOf(draft.private(second, "BatchNormalization"), draft);
    if (!convolution || !pooled || !first || !output) return undefined;
    const [width, all] = [channelsOf(first), channelsOf(output)];
    if (Math.ceil(width / TILE) < Math.ceil(all / TILE)) return undefined;
    const wide = placed(convolution, convolution.x, channelsOf(convolution.x), all);
    const scaled = placed(pooled, pooled.x, channelsOf(pooled.x), all, width);
    const parts = [valueOf(`${output.name}/convolved`, output.shape), valueOf(`${output.name}/pooled`, output.shape)];
    const [convolved, rest] = parts as [typeof output, typeof output];
    return [
      convNode(concat, scaled, rest, draft),
      convNode(concat, wide, convolved, draft),
      nodeOf(concat, "Add", parts, output),
    ];
  });
}

/** A batch norm that no convolution before it could take: it becomes a convolution with one weight per channel. */
export function convolveNorms(graph: Graph): Graph {
  return rewriteNodes(graph, (norm, draft) => {
    const affine = norm.op === "BatchNormalization" ? affineOf(norm, (value) => draft.floats(value)) : undefined;
    const [x] = norm.inputs;
    const [output] = norm.outputs;
    if (!affine || !x || !output) return undefined;
    const count = affine.scale.length;
    const kernel = draft.constant(`${output.name}/kernel`, affine.scale, [count, 1, 1, 1]);
    const bias = draft.constant(`${output.name}/bias`, affine.shift, [count]);
    const attributes = { ...POINTWISE, group: count };
    return [nodeOf(norm, "Conv", [x, kernel, bias], output, attributes)];
  });
}

function normOf(node: GraphNode | undefined, draft: Draft): Convolution | undefined {
  const affine = node && affineOf(node, (value) => draft.floats(value));
  return affine && node.inputs[0] && diagonal(node.inputs[0], affine.scale, affine.shift);
}
