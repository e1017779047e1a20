/** Height and width in pixels. */
export interface Size {
  readonly height: number;
  readonly width: number;
}

/**
 * Added before the floor that rounds to a byte. Weights are ratios of small whole numbers, so halves are frequent; without the second term
 * they would be rounded up or down by the last bit of a float, which differs from runtime to runtime.
 */
const ROUND = 0.5 + 2 ** -10;

/**
 * Resizes an RGB image [H,W,3] of `from` to `to`, the aspect not kept: antialiased bilinear with half-pixel centres, the same computation as
 * in deploy.onnx (shared/engine/deploy/resize.ts). Output i of n -> m pixels is the mean of the inputs j with the weights
 * max(0, 1 - |j + 1/2 - (i + 1/2) n/m| / max(n/m, 1)), so that each axis that shrinks is averaged over what it covers. Both axes are
 * computed in floating point and rounded to bytes once.
 */
export function resizeImage(rgb: Uint8Array, from: Size, to: Size): Uint8Array {
  if (from.height === to.height && from.width === to.width) return rgb;
  return vertically(horizontally(rgb, from, to.width), { height: from.height, width: to.width }, to.height);
}

/** The inputs of each output of one axis: inputs first[i] to first[i] + count[i] - 1, with the weights from i * most on. */
interface Taps {
  readonly first: Int32Array;
  readonly count: Int32Array;
  readonly most: number;
  readonly weights: Float64Array;
}

/** All is in units of 1 / (2m) of an input pixel, in which positions and weights are whole numbers. */
function tapsOf(n: number, m: number): Taps {
  const support = 2 * Math.max(n, m);
  const most = Math.floor((support + m - 1) / m);
  const taps: Taps = { first: new Int32Array(m), count: new Int32Array(m), most, weights: new Float64Array(m * most) };
  for (let i = 0; i < m; i++) {
    const centre = (2 * i + 1) * n;
    const first = Math.floor(Math.max(0, centre - support + m) / (2 * m));
    let count = 0;
    let sum = 0;
    for (let j = first; j < n; j++, count++) {
      const weight = support - Math.abs((2 * j + 1) * m - centre);
      if (weight <= 0) break;
      taps.weights[i * most + count] = weight;
      sum += weight;
    }
    taps.first[i] = first;
    taps.count[i] = count;
    for (let k = 0; k < count; k++) taps.weights[i * most + k]! /= sum;
  }
  return taps;
}

/** [H,W,3] bytes -> [H,width,3] floats. */
function horizontally(rgb: Uint8Array, from: Size, width: number): Float32Array {
  const { first, count, most, weights } = tapsOf(from.width, width);
  const out = new Float32Array(from.height * width * 3);
  for (let y = 0, to = 0; y < from.height; y++) {
    const row = 3 * y * from.width;
    for (let x = 0; x < width; x++, to += 3) {
      let at = row + 3 * first[x]!;
      let red = 0;
      let green = 0;
      let blue = 0;
      for (let k = x * most, end = k + count[x]!; k < end; k++, at += 3) {
        const weight = weights[k]!;
        red += weight * rgb[at]!;
        green += weight * rgb[at + 1]!;
        blue += weight * rgb[at + 2]!;
      }
      out[to] = red;
      out[to + 1] = green;
      out[to + 2] = blue;
    }
  }
  return out;
}

/** [H,W,3] floats -> [height,W,3] bytes. */
function vertically(image: Float32Array, from: Size, height: number): Uint8Array {
  const { first, count, most, weights } = tapsOf(from.height, height);
  const length = 3 * from.width;
  const out = new Uint8Array(height * length);
  const row = new Float64Array(length);
  for (let y = 0; y < height; y++) {
    row.fill(ROUND);
    for (let k = 0; k < count[y]!; k++) {
      const weight = weights[y * most + k]!;
      const at = (first[y]! + k) * length;
      for (let x = 0; x < length; x++) row[x]! += weight * image[at + x]!;
    }
    // A typed array of bytes drops the fraction.
    out.set(row, y * length);
  }
  return out;
}
