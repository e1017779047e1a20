import { pad, reshape, sizeOf } from "../emit";
import type { Value } from "../graph";
import type { Recorder } from "../recorder";
import { channelsOf, count, pointwise, toBlocked, toPlain } from "./emit";

// Sums over positions, as derivatives of kernels are, by a blocked 1x1 convolution that has positions for input channels.

/** Each tile of block positions transposed: [images, L/block, position, channel] to [images, L/block, channel, position], flat. */
export function turned(r: Recorder, x: Value, block: number): Value {
  const size = sizeOf(x);
  return reshape(r, toPlain(r, reshape(r, x, [size / block ** 2, block, block, 1])), [size]);
}

/** Tiles [tiles, block, block] each transposed, [tiles, block*block]: a reorder of one block of channels, faster than Transpose is. */
export function transposedTiles(r: Recorder, tiles: Value): Value {
  const [length, block] = tiles.shape as [number, number, number];
  return reshape(r, toBlocked(r, reshape(r, tiles, [length, block, block, 1])), [length, block * block]);
}

/** Product of x, turned images of L positions each, and u, blocked over L positions: per image and block of u a tile, [images, Co, block, 1]. */
export function product(r: Recorder, x: Value, u: Value, block: number): Value {
  const to = channelsOf(u);
  const positions = sizeOf(u) / to;
  const images = sizeOf(x) / (positions * block);
  return pointwise(r, reshape(r, x, [images, positions, block, 1]), reshape(r, u, [to, positions, 1, 1]));
}

/**
 * Turned x as the three taps of a convolution along rows see it, images by block of channels, then tap. Rows are whole tiles, one after
 * the other in each block; what a tap sees behind the edge is a row of zeros.
 */
export function movedRows(
  r: Recorder,
  x: Value,
  [blocks, height]: readonly [number, number],
  dilation: number,
  stride: 1 | 2 = 1,
): Value {
  const rows = reshape(r, x, [blocks, height, sizeOf(x) / (blocks * height)]);
  const taps = [-dilation, 0, dilation].flatMap((shift) =>
    count(height / stride)
      .map((row) => row * stride + shift)
      .map((row) => (row >= 0 && row < height ? row : height)),
  );
  const shape = [blocks, taps.length, rows.shape[2] as number];
  return r.node("Gather", [pad(r, rows, [0, 0, 0], [0, 1, 0]), r.integers(taps)], shape, "float32", { axis: 1 });
}
