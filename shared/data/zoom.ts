import type { Size } from "./resize";

/** How one axis of an example is augmented: mirrored, then scaled, with its place as in Zoom, then shifted by whole pixels. */
export interface AxisChange {
  /** Pixels of the source and of the output. */
  readonly length: number;
  readonly mirrored: boolean;
  readonly scale: number;
  readonly place: number;
  readonly shift: number;
}

/**
 * The source pixel of each output pixel of an axis, -1 outside of the source. Pixel i has its centre at i + 1/2. The centre of output i is
 * at (i + 1/2 - shift - place * (1 - scale) * length) / scale in the mirrored source; the pixel in which it lies is taken.
 */
export function sourcesOf(axis: AxisChange): Int32Array {
  return Int32Array.from({ length: axis.length }, (_, i) => {
    const at = Math.floor(positionOf(i, axis));
    if (at < 0 || at >= axis.length) return -1;
    return axis.mirrored ? axis.length - 1 - at : at;
  });
}

/** Images of the size of their source: [H,W,3] bytes -> [3,H,W] floats in 0..1, written into `out`; uncovered pixels are left as they are. */
export function zoomImage(
  out: Float32Array,
  image: Uint8Array,
  size: Size,
  rows: AxisChange,
  columns: AxisChange,
): void {
  const { height, width } = size;
  const across = horizontally(image, size, tapsOf(columns));
  const { first, count, most, weights } = tapsOf(rows);
  const covered = sourcesOf(columns);
  const plane = height * width;
  for (let y = 0; y < height; y++) {
    const end = y * most + count[y]!;
    if (count[y] === 0) continue;
    for (let x = 0; x < width; x++) {
      if (covered[x]! < 0) continue;
      for (let c = 0; c < 3; c++) {
        let sum = 0;
        for (let k = y * most, row = first[y]!; k < end; k++, row++)
          sum += weights[k]! * across[3 * (row * width + x) + c]!;
        out[c * plane + y * width + x] = sum / 255;
      }
    }
  }
}

/** The inputs of each output of an axis, first[i] to first[i] + count[i] - 1, with the weights from i * most on. Uncovered ones have none. */
interface Taps {
  readonly first: Int32Array;
  readonly count: Int32Array;
  readonly most: number;
  readonly weights: Float64Array;
}

/** Weights max(0, 1 - distance / reach), with reach max(1, 1 / scale) in source pixels, as resizeImage has; they sum to 1. */
function tapsOf(axis: AxisChange): Taps {
  const { length, scale, mirrored } = axis;
  const reach = Math.max(1, 1 / scale);
  const most = Math.ceil(2 * reach) + 1;
  const taps: Taps = {
    first: new Int32Array(length),
    count: new Int32Array(length),
    most,
    weights: new Float64Array(length * most),
  };
  for (let i = 0; i < length; i++) {
    const position = positionOf(i, axis);
    if (position < 0 || position >= length) continue;
    const centre = mirrored ? length - position : position;
    const first = Math.max(0, Math.floor(centre - reach + 0.5));
    let sum = 0;
    let count = 0;
    for (let j = first; j < length && j + 0.5 < centre + reach; j++, count++) {
      const weight = Math.max(0, 1 - Math.abs(j + 0.5 - centre) / reach);
      taps.weights[i * most + count] = weight;
      sum += weight;
    }
    taps.first[i] = first;
    taps.count[i] = count;
    for (let k = i * most; k < i * most + count; k++) taps.weights[k]! /= sum;
  }
  return taps;
}

/** Position of the centre of output i in the mirrored source, in pixels from its edge. */
function positionOf(i: number, { length, scale, place, shift }: AxisChange): number {
  return (i + 0.5 - shift - place * (1 - scale) * length) / scale;
}

/** [H,W,3] bytes -> [H,W,3] floats. */
function horizontally(image: Uint8Array, { height, width }: Size, { first, count, most, weights }: Taps): Float32Array {
  const out = new Float32Array(3 * height * width);
  for (let y = 0, to = 0; y < height; y++) {
    for (let x = 0; x < width; x++, to += 3) {
      let at = 3 * (y * width + first[x]!);
      for (let k = x * most, end = k + count[x]!; k < end; k++, at += 3)
        for (let c = 0; c < 3; c++) out[to + c]! += weights[k]! * image[at + c]!;
    }
  }
  return out;
}
