import type { Attribute, GraphNode, Value } from "../graph";
import { nodeOf, withChannels, type Draft } from "./draft";

/** Filter [outputs, inputs, ...kernel] and bias [outputs] of a convolution, with what else describes it. */
export interface Convolution {
  readonly x: Value;
  readonly filter: Float32Array;
  /** [outputs, inputs, kernel height, kernel width] */
  readonly shape: readonly [number, number, number, number];
  readonly bias: Float32Array;
  readonly attributes: Readonly<Record<string, Attribute>>;
}

export const POINTWISE: Record<string, Attribute> = { kernel_shape: [1, 1], strides: [1, 1], pads: [0, 0, 0, 0] };

/** The convolution of a Conv node whose filter and bias are constants. Grouped ones are left alone. */
export function convolutionOf(node: GraphNode | undefined, draft: Draft): Convolution | undefined {
  const [x, kernel, offset] = node?.inputs ?? [];
  const filter = draft.floats(kernel);
  const bias = offset ? draft.floats(offset) : new Float32Array(kernel?.shape[0] ?? 0);
  if (node?.op !== "Conv" || !x || !kernel || !filter || !bias || "group" in node.attributes) return undefined;
  const [outputs = 0, inputs = 0, high = 0, wide = 0] = kernel.shape;
  return { x, filter, shape: [outputs, inputs, high, wide], bias, attributes: node.attributes };
}

/** A depthwise convolution of a constant filter [C,1,kh,kw] without bias; undefined for any other node. */
export function depthwiseOf(node: GraphNode, draft: Draft): Pick<Convolution, "filter" | "shape"> | undefined {
  const [, kernel, offset] = node.inputs;
  const filter = draft.floats(kernel);
  if (node.op !== "Conv" || !kernel || !filter || offset || node.attributes.group !== kernel.shape[0]) return undefined;
  const [channels = 0, one = 0, high = 0, wide = 0] = kernel.shape;
  return { filter, shape: [channels, one, high, wide] };
}

/** Whether a convolution maps each pixel by itself. */
export const isPointwise = ({ shape: [, , high, wide], attributes: { strides } }: Convolution): boolean =>
  high === 1 && wide === 1 && (strides === undefined || (strides as readonly number[]).every((step) => step === 1));

/** The Conv node of a convolution. Its constants are named after its output. A bias of zeros is left out. */
export function convNode(place: GraphNode, convolution: Convolution, output: Value, draft: Draft): GraphNode {
  const { x, filter, shape, bias, attributes } = convolution;
  const inputs = [x, draft.constant(`${output.name}/kernel`, filter, shape)];
  if (bias.some((value) => value !== 0)) inputs.push(draft.constant(`${output.name}/bias`, bias, [bias.length]));
  return nodeOf(place, "Conv", inputs, output, attributes);
}

/** A convolution with input channels first..first+count-1 of another, without its bias. */
export function inputsOf(convolution: Convolution, x: Value, first: number, count: number): Convolution {
  const [outputs, inputs, high, wide] = convolution.shape;
  const taps = high * wide;
  const filter = new Float32Array(outputs * count * taps);
  for (let row = 0; row < outputs; row++) {
    const from = (row * inputs + first) * taps;
    filter.set(convolution.filter.subarray(from, from + count * taps), row * count * taps);
  }
  return { ...convolution, x, filter, shape: [outputs, count, high, wide], bias: new Float32Array(outputs) };
}

/** A convolution with channels of zeros: outputs from `first` on of `outputs`, and `inputs` input channels, of which the first are read. */
export function placed(convolution: Convolution, x: Value, inputs: number, outputs: number, first = 0): Convolution {
  const [rows, columns, high, wide] = convolution.shape;
  const taps = high * wide;
  const filter = new Float32Array(outputs * inputs * taps);
  for (let row = 0; row < rows; row++)
    filter.set(
      convolution.filter.subarray(row * columns * taps, (row + 1) * columns * taps),
      (first + row) * inputs * taps,
    );
  const bias = new Float32Array(outputs);
  bias.set(convolution.bias, first);
  return { ...convolution, x, filter, shape: [outputs, inputs, high, wide], bias };
}

/** A convolution of concatenated parts, of which some get channels of zeros at their end: `before` and `after` are their widths. */
export function spread(convolution: Convolution, before: readonly number[], after: readonly number[]): Convolution {
  const [outputs, inputs, high, wide] = convolution.shape;
  const taps = high * wide;
  const all = after.reduce((sum, width) => sum + width, 0);
  const filter = new Float32Array(outputs * all * taps);
  for (let row = 0; row < outputs; row++) {
    let [from, to] = [row * inputs * taps, row * all * taps];
    before.forEach((width, at) => {
      filter.set(convolution.filter.subarray(from, from + width * taps), to);
      from += width * taps;
      to += (after[at] ?? width) * taps;
    });
  }
  return { ...convolution, filter, shape: [outputs, all, high, wide] };
}

/** The 1x1 convolution that multiplies each channel by its scale and adds its shift. */
export function diagonal(x: Value, scale: Float32Array, shift: Float32Array): Convolution {
  const count = scale.length;
  const filter = new Float32Array(count * count);
  scale.forEach((value, channel) => (filter[channel * (count + 1)] = value));
  return { x, filter, shape: [count, count, 1, 1], bias: shift, attributes: POINTWISE };
}

/** The convolution that keeps the first channels and makes zeros of the others, with one weight per channel. */
export function masked(x: Value, kept: number): Convolution {
  const count = x.shape[1] ?? 0;
  const filter = new Float32Array(count).fill(1, 0, kept);
  const attributes = { ...POINTWISE, group: count };
  return { x, filter, shape: [count, 1, 1, 1], bias: new Float32Array(count), attributes };
}

/** The shape of what a convolution without stride makes of its input. */
export const sameSize = ({ x, shape: [outputs] }: Convolution): number[] => withChannels(x.shape, outputs);
