import { gather, pad, reshape, sizeOf } from "../emit";
import type { Value } from "../graph";
import type { Recorder } from "../recorder";
import { channelsOf, pointwise, toBlocked, toPlain } from "./emit";
import { upTo } from "../signature";

// Sums over positions, such as derivatives of filters, as a blocked 1x1 convolution whose input channels are the positions.

/** Transposes each square of tile positions: [images, L/tile, position, channel] to [images, L/tile, channel, position], flat. */
export function turned(r: Recorder, x: Value, tile: number): Value {
  const size = sizeOf(x);
  return reshape(r, toPlain(r, reshape(r, x, [size / tile ** 2, tile, tile, 1])), [size]);
}

/**
 * Transposes each of the squares [squares, tile, tile]: [squares, tile*tile]. A reorder of one tile of channels is faster than Transpose.
 */
export function transposedSquares(r: Recorder, squares: Value): Value {
  const [length, tile] = squares.shape as [number, number, number];
  return reshape(r, toBlocked(r, reshape(r, squares, [length, tile, tile, 1])), [length, tile * tile]);
}

/**
 * Product of x (transposed images of L positions each) and u (blocked over L positions): a square per image and tile of u, [images, Co,
 * tile, 1].
 */
export function product(r: Recorder, x: Value, u: Value, tile: number): Value {
  const to = channelsOf(u);
  const positions = sizeOf(u) / to;
  const images = sizeOf(x) / (positions * tile);
  return pointwise(r, reshape(r, x, [images, positions, tile, 1]), reshape(r, u, [to, positions, 1, 1]));
}

/**
 * Transposed x as the three taps of a convolution along rows see it; images are ordered by tile of channels, then tap. Rows are whole
 * squares, one after the other in each tile; beyond the edge, a tap sees a row of zeros.
 */
export function movedRows(
  r: Recorder,
  x: Value,
  [tiles, height]: readonly [number, number],
  dilation: number,
  stride: 1 | 2 = 1,
): Value {
  const rows = reshape(r, x, [tiles, height, sizeOf(x) / (tiles * height)]);
  const taps = [-dilation, 0, dilation].flatMap((shift) =>
    upTo(height / stride)
      .map((row) => row * stride + shift)
      .map((row) => (row >= 0 && row < height ? row : height)),
  );
  return gather(r, pad(r, rows, [0, 0, 0], [0, 1, 0]), taps, 1);
}
