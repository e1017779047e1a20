import { concat, pad, reshape, sizeOf } from "../emit";
import type { Value } from "../graph";
import type { Recorder } from "../recorder";
import { channelsOf, pointwise, shiftColumns, toPlain } from "./emit";
import type { Activations } from "./forward";
import { convolutions, count, rowsShape, type Branch, type MixturePlan } from "./plan";

/**
 * Derivative of all kernels by u instead of by what their norms pass back (gradient.ts), [tiles, block, block]. It is a product of two
 * matrices over positions, which a blocked 1x1 convolution computes without reordering either: positions are its input channels, u as
 * it lies is its kernel, x with its tiles of positions transposed its input, and the result is in tiles. The input as each tap sees it
 * is an image of its own.
 */
export function emitKernelGradient(
  r: Recorder,
  plan: MixturePlan,
  x: Value,
  saved: Activations,
  u1: readonly Value[],
  u2: readonly Value[],
): Value {
  const { block, height, branches } = plan;
  const products = branches.flatMap(({ scale, dilation }, at) => {
    const h = height / scale;
    const [first, second, active] = [u1[at], u2[at], saved.active[at]] as [Value, Value, Value];
    const input = turned(r, scale === 2 && saved.pooled ? saved.pooled : x, block);
    return [
      product(r, dilation < h ? movedRows(r, input, [channelsOf(x) / block, h], dilation) : input, first, block),
      ...movedColumns(r, reshape(r, active, rowsShape(plan, scale, channelsOf(active))), dilation, block).map((taken) =>
        product(r, turned(r, taken, block), second, block),
      ),
    ];
  });
  const zeros = r.constant(new Float32Array(block * block), [block * block], "float32");
  const flat = concat(r, [...products, zeros], 0);
  const all = reshape(r, flat, [(flat.shape[0] as number) / block ** 2, block * block]);
  const order = r.integers(tileOrder(plan));
  const tilesInOrder = r.node("Gather", [all, order], [order.shape[0] as number, block * block], "float32", {
    axis: 0,
  });
  return reshape(r, tilesInOrder, [order.shape[0] as number, block, block]);
}

/** Each tile of block positions transposed: [images, L/block, position, channel] to [images, L/block, channel, position], flat. */
function turned(r: Recorder, x: Value, block: number): Value {
  const size = sizeOf(x);
  return reshape(r, toPlain(r, reshape(r, x, [size / block ** 2, block, block, 1])), [size]);
}

/** Product of x, turned images of L positions each, and u, blocked over L positions: per image and block of u a tile, flat. */
function product(r: Recorder, x: Value, u: Value, block: number): Value {
  const to = channelsOf(u);
  const positions = sizeOf(u) / to;
  const images = sizeOf(x) / (positions * block);
  const kernel = reshape(r, u, [to, positions, 1, 1]);
  const y = pointwise(r, reshape(r, x, [images, positions, block, 1]), kernel);
  return reshape(r, y, [sizeOf(y)]);
}

/**
 * Turned x as the three taps of a convolution along rows see it, images by block of channels, then tap. Rows are whole tiles, one after
 * the other in each block; what a tap sees behind the edge is a row of zeros.
 */
function movedRows(r: Recorder, x: Value, [blocks, height]: readonly [number, number], dilation: number): Value {
  const rows = reshape(r, x, [blocks, height, sizeOf(x) / (blocks * height)]);
  const taps = [-dilation, 0, dilation].flatMap((shift) =>
    count(height).map((row) => (row + shift >= 0 && row + shift < height ? row + shift : height)),
  );
  const shape = [blocks, 3 * height, rows.shape[2] as number];
  return r.node("Gather", [pad(r, rows, [0, 0, 0], [0, 1, 0]), r.integers(taps)], shape, "float32", { axis: 1 });
}

/** x as the taps of a convolution along columns see it; without the outer ones where these see only padding. */
function movedColumns(r: Recorder, x: Value, dilation: number, block: number): Value[] {
  if (dilation >= (x.shape[3] as number)) return [x];
  return [shiftColumns(r, x, 0, dilation, block), x, shiftColumns(r, x, 2, dilation, block)];
}

/** Of each tile in its order, where the products have it; behind all of them lies a tile of zeros, for taps that see only padding. */
function tileOrder(plan: MixturePlan): number[] {
  const { block, height, width } = plan;
  const list = convolutions(plan).map(({ branch, layer, inputs, outputs }) => {
    const { scale, dilation } = plan.branches[branch] as Branch;
    const taps = dilation < (layer === 1 ? height : width) / scale ? 3 : 1;
    return { layer, taps, from: inputs / block, to: outputs / block };
  });
  const zeros = list.reduce((sum, { taps, from, to }) => sum + taps * from * to, 0);
  let start = 0;
  return list.flatMap(({ layer, taps, from, to }) => {
    const first = start;
    start += taps * from * to;
    return count(from * to * 3).map((at) => {
      const [outputBlock, inputBlock, tap] = [Math.floor(at / (from * 3)), Math.floor(at / 3) % from, at % 3];
      if (taps === 1) return tap === 1 ? first + inputBlock * to + outputBlock : zeros;
      const image = layer === 1 ? inputBlock * 3 + tap : tap * from + inputBlock;
      return first + image * to + outputBlock;
    });
  });
}
