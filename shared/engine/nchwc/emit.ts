import { binary, cast, concat, pad, reduce, reshape, runLength, sizeOf, slice } from "../emit";
import type { Value } from "../graph";
import { halved, pooling, shapeOf } from "../ops/window";
import type { Recorder } from "../recorder";

// Operators on ONNX Runtime's blocked layout. A value has the logical shape [1, C, H, N*W] and the memory layout [C/tile, H, N, W, tile].
// Filters that span rows treat it as one image of N*W columns. As [1, C, H*N, W], filters that span columns treat it as H*N rows.

const DOMAIN = "com.microsoft.nchwc";

/** Channels of a tile, which ONNX Runtime packs together: 16 with AVX-512, 8 with AVX2. */
export type TileSize = number;

function node(
  r: Recorder,
  op: string,
  inputs: readonly Value[],
  shape: readonly number[],
  attributes: Parameters<Recorder["node"]>[4] = {},
): Value {
  return r.node(op, inputs, shape, "float32", attributes, DOMAIN);
}

/** x [n,C,h,w] from plain order to blocked. */
export function toBlocked(r: Recorder, x: Value): Value {
  return node(r, "ReorderInput", [x], x.shape);
}

/** x [n,C,h,w] from blocked order to plain. */
export function toPlain(r: Recorder, x: Value): Value {
  return node(r, "ReorderOutput", [x], x.shape, { channels: channelsOf(x) });
}

/** The number of channels, rounded up to whole tiles. */
export const wholeTiles = (channels: number, tile: TileSize): number => Math.ceil(channels / tile) * tile;

export const channelsOf = (x: Value): number => x.shape[1] as number;

function zeros(r: Recorder, count: number): Value {
  return r.constant(new Float32Array(count), [count], "float32");
}

/** x * scale + shift (+ sum), then an optional ReLU, as a depthwise 1x1 convolution: one pass, where plain operators need two to four. */
export function affine(
  r: Recorder,
  x: Value,
  scale: Value,
  { shift, sum, relu = false }: { shift?: Value; sum?: Value; relu?: boolean } = {},
): Value {
  const channels = channelsOf(x);
  const filter = reshape(r, scale, [channels, 1, 1, 1]);
  const inputs = [x, filter, shift ? reshape(r, shift, [channels]) : zeros(r, channels), ...(sum ? [sum] : [])];
  const attributes = { kernel_shape: [1, 1], group: channels, ...(relu ? { activation: "Relu" } : {}) };
  return r.within("Norm", () => node(r, "Conv", inputs, x.shape, attributes));
}

/** A depthwise convolution. Its filter [C, 1, rows, columns] is in the layout [C/tile, taps, tile]; `shape` is that of the result. */
export function depthwise(
  r: Recorder,
  x: Value,
  filter: Value,
  shape: readonly number[],
  { sum, ...attributes }: { dilations?: number[]; strides?: number[]; pads: number[]; sum?: Value },
): Value {
  const [channels, , ...size] = filter.shape as [number, number, number, number];
  const given = [x, filter, ...(sum ? [zeros(r, channels), sum] : [])];
  return r.within("Depthwise", () =>
    node(r, "Conv", given, shape, { kernel_shape: size, group: channels, ...attributes }),
  );
}

/**
 * Convolution whose filter [Co*Ci*rows*columns] is in the layout of squares. `rowStep` is the distance of two rows of one image in x: 1, or
 * the number of images where their rows lie between each other. Along columns alone, outer taps that see only padding are left out here;
 * along rows, ONNX Runtime leaves them out.
 */
export function convolution(
  r: Recorder,
  x: Value,
  filter: Value,
  outputs: number,
  { kernel, dilation, rowStep, tile, sum }: ConvolutionOptions,
): Value {
  const [, inputs, height, width] = x.shape as [number, number, number, number];
  const [rows, columns] = kernel;
  if (rows === 1 && columns > 1 && dilation >= width) {
    const squares = (outputs * inputs) / tile ** 2;
    const taps = slice(r, reshape(r, filter, [squares, 3, tile ** 2]), [1], [1], [1]);
    const middle = reshape(r, taps, [outputs, inputs, 1, 1]);
    const given = [x, middle, zeros(r, outputs), ...(sum ? [sum] : [])];
    return node(r, "Conv", given, [1, outputs, height, width], { kernel_shape: [1, 1] });
  }
  const weights = reshape(r, filter, [outputs, inputs, rows, columns]);
  const dilations = [rows > 1 ? dilation * rowStep : 1, columns > 1 ? dilation : 1] as const;
  const [along, across] = [rows > 1 ? dilations[0] : 0, columns > 1 ? dilations[1] : 0];
  const attributes = { kernel_shape: [rows, columns], dilations: [...dilations], pads: [along, across, along, across] };
  const given = [x, weights, zeros(r, outputs), ...(sum ? [sum] : [])];
  return r.within("Conv", () => node(r, "Conv", given, [1, outputs, height, width], attributes));
}

interface ConvolutionOptions {
  /** Rows and columns of the filter, each 1 or 3. */
  kernel: readonly [number, number];
  dilation: number;
  rowStep: number;
  tile: TileSize;
  sum?: Value | undefined;
}

/** Product of two matrices as a 1x1 convolution: x [a, L, tile, 1] with L positions as input channels, filter [Co, L, 1, 1]. */
export function pointwise(r: Recorder, x: Value, filter: Value): Value {
  const [images, , height, width] = x.shape as [number, number, number, number];
  const outputs = filter.shape[0] as number;
  return node(r, "Conv", [x, filter], [images, outputs, height, width], { kernel_shape: [1, 1] });
}

/** A convolution with a filter [Co, Ci, kh, kw] in the layout of squares and any attributes; `shape` is the shape of the result. */
export function generalConvolution(
  r: Recorder,
  x: Value,
  filter: Value,
  shape: readonly number[],
  attributes: { strides?: number[]; pads?: number[] } = {},
  sum?: Value,
): Value {
  const [outputs, , ...size] = filter.shape as [number, number, number, number];
  const given = [x, filter, ...(sum ? [zeros(r, outputs), sum] : [])];
  return r.within("Conv", () => node(r, "Conv", given, shape, { kernel_shape: size, ...attributes }));
}

/**
 * The columns that one tap of a dilated filter sees: x shifted by `dilation` to the right (tap 0) or left (tap 2), with zeros shifted in.
 * With stride 2, every second column.
 */
export function shiftColumns(
  r: Recorder,
  x: Value,
  tap: 0 | 1 | 2,
  dilation: number,
  tile: TileSize,
  stride: 1 | 2 = 1,
): Value {
  const [images, channels, height, width] = x.shape as [number, number, number, number];
  // Filters of depthwise convolutions have the layout [C/tile, taps, tile].
  const oneHot = Float32Array.from({ length: channels * 3 }, (_, at) => (Math.floor(at / tile) % 3 === tap ? 1 : 0));
  const filter = r.constant(oneHot, [channels, 1, 1, 3], "float32");
  return node(r, "Conv", [x, filter], [images, channels, height, width / stride], {
    ...{ kernel_shape: [1, 3], dilations: [1, dilation], pads: [0, dilation, 0, dilation], group: channels },
    ...(stride === 2 && { strides: [1, 2] }),
  });
}

/**
 * Mean of each channel of each value, concatenated, [C] in float64. Runs of positions are added in float32, as ONNX Runtime's pooling does
 * it, one after the other; their means are added in float64. So the error of a sum is that of a short run, however many positions there are.
 */
export function channelMeans(r: Recorder, ...values: readonly Value[]): Value {
  return r.within("ChannelMean", () => {
    const runs = values.map((x) => runMeans(r, x));
    // Neighbours with equally many runs are reduced together.
    const parts: Value[][] = [];
    for (const x of runs) {
      const [neighbour] = parts.at(-1) ?? [];
      if (neighbour && positionsOf(neighbour) === positionsOf(x)) parts.at(-1)?.push(x);
      else parts.push([x]);
    }
    const means = parts.map((part) => {
      const plain = toPlain(r, rowMeans(r, concat(r, part, 1), RUNS));
      const rows = reshape(r, plain, [channelsOf(plain), positionsOf(plain)]);
      return reduce(r, "ReduceMean", cast(r, rows, "float64"), [1], false);
    });
    return concat(r, means, 0);
  });
}

const positionsOf = (x: Value): number => sizeOf(x) / channelsOf(x);

/** Runs in a row, of which a pooling computes several at once. The positions of a blocked value are a multiple of it. */
const RUNS = 8;

/** Means of runs of positions, [1,C,rows,RUNS]. */
function runMeans(r: Recorder, x: Value): Value {
  const positions = positionsOf(x);
  const run = runLength(positions / RUNS);
  return rowMeans(r, reshape(r, x, [1, channelsOf(x), positions / (RUNS * run), RUNS * run]), run);
}

/** Means of windows of `width` columns of x [1,C,h,w], [1,C,h,w/width]. */
function rowMeans(r: Recorder, x: Value, width: number): Value {
  const [, channels, height, columns] = x.shape as [number, number, number, number];
  const window = { kernel_shape: [1, width], strides: [1, width] };
  return node(r, "AveragePool", [x], [1, channels, height, columns / width], window);
}

export function maxPool(r: Recorder, x: Value): Value {
  return node(r, "MaxPool", [x], halved(shapeOf(x)), pooling);
}

export function averagePool(r: Recorder, x: Value): Value {
  return node(r, "AveragePool", [x], halved(shapeOf(x)), pooling);
}

/** Each element repeated over a 2x2 window. */
export function upsample(r: Recorder, x: Value): Value {
  const [n, c, h, w] = x.shape as [number, number, number, number];
  return node(r, "Upsample", [x], [n, c, h * 2, w * 2], { scales: [1, 1, 2, 2] });
}

/** x cut or zero-padded to `count` channels. Plain operators suffice, because whole tiles follow one another in memory. */
export function withChannels(r: Recorder, x: Value, count: number): Value {
  const missing = count - channelsOf(x);
  return missing > 0 ? pad(r, x, [0, 0, 0, 0], [0, missing, 0, 0]) : slice(r, x, [1], [0], [count]);
}

/** Parts of x along its first axis. */
export function split(r: Recorder, x: Value, sizes: readonly number[]): Value[] {
  if (sizes.length === 1) return [x];
  const shapes = sizes.map((size) => [size, ...x.shape.slice(1)]);
  return r.split("Split", [x, r.integers(sizes)], shapes, x.dtype, { axis: 0 });
}

/** Sum of two values that may have different numbers of channels. */
export function sum(r: Recorder, a: Value, b: Value): Value {
  const count = Math.max(channelsOf(a), channelsOf(b));
  return binary(r, "Add", withChannels(r, a, count), withChannels(r, b, count));
}
