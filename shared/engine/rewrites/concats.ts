import type { Graph, GraphNode, Value } from "../graph";
import { convNode, convolutionOf, inputsOf, isPointwise, sameSize } from "./convolution";
import { channelsOf, nodeOf, rewriteNodes, valueOf, withChannels, type Draft } from "./draft";

/**
 * A convolution of concatenated channels becomes a sum of convolutions, one for each part. A 1x1 convolution of a part that was enlarged is
 * computed before the enlargement, at fewer pixels: both are linear, one across channels, the other across pixels.
 */
export function splitConvolutions(graph: Graph): Graph {
  return rewriteNodes(graph, (conv, draft) => {
    const whole = convolutionOf(conv, draft);
    const concat = draft.private(whole?.x, "Concat");
    const [output] = conv.outputs;
    if (!whole || !output || concat?.attributes.axis !== 1) return undefined;
    if (!isPointwise(whole) || !concat.inputs.some((part) => enlargement(part, draft, whole.shape[0])))
      return undefined;
    let first = 0;
    const nodes: GraphNode[] = [];
    const terms = concat.inputs.map((part, at) => {
      const term = valueOf(`${output.name}/part${at}`, output.shape);
      const resize = enlargement(part, draft, whole.shape[0]);
      const [small] = resize?.inputs ?? [];
      const split = inputsOf(whole, small ?? part, first, channelsOf(part));
      // The bias is added once, at the last part, whose convolution takes the sum of the others.
      const bias = at === concat.inputs.length - 1 ? whole.bias : split.bias;
      first += channelsOf(part);
      if (resize) {
        const before = valueOf(`${term.name}/small`, sameSize(split));
        nodes.push(convNode(conv, { ...split, bias }, before, draft));
        nodes.push(resized(resize, before, term, draft));
      } else nodes.push(convNode(conv, { ...split, bias }, term, draft));
      return term;
    });
    return [...nodes, ...summed(conv, terms, output)];
  });
}

/** The resize that makes a part larger, if nothing else reads its result and it would not get more channels. */
function enlargement(part: Value, draft: Draft, channels: number): GraphNode | undefined {
  const resize = draft.private(part, "Resize");
  const pixels = ({ shape }: Value) => (shape[2] ?? 0) * (shape[3] ?? 0);
  const [small] = resize?.inputs ?? [];
  return small && pixels(small) < pixels(part) && channels <= channelsOf(part) ? resize : undefined;
}

/** The same resize for another number of channels. */
function resized(resize: GraphNode, x: Value, output: Value, draft: Draft): GraphNode {
  const sizes = draft.integers(resize.inputs[3]);
  const target = sizes && draft.vector(`${output.name}/size`, withChannels(sizes, channelsOf(x)));
  const inputs = [x, ...resize.inputs.slice(1, 3), ...(target ? [target] : [])];
  return nodeOf(resize, "Resize", inputs, output, { ...resize.attributes });
}

function summed(place: GraphNode, terms: readonly Value[], output: Value): GraphNode[] {
  const [first, ...rest] = terms as [Value, ...Value[]];
  let sum = first;
  return rest.map((term, at) => {
    const total = at === rest.length - 1 ? output : valueOf(`${output.name}/sum${at}`, output.shape);
    const node = nodeOf(place, "Add", [sum, term], total);
    sum = total;
    return node;
  });
}
