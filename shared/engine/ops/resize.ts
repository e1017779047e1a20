import { tf } from "../tf";
import { resample, type Resampling } from "./resample";

/** Bilinear resize of x [N,C,H,W] to [N,C,height,width], corners aligned. */
export function resizeBilinear(x: tf.Tensor, height: number, width: number): tf.Tensor4D {
  const [, , h, w] = x.shape as [number, number, number, number];
  if (h === height && w === width) return x as tf.Tensor4D;
  return resample(x, interpolation(h, height), interpolation(w, width));
}

/** Weights of linear interpolation from `from` to `to` points with equal ends; a single output point is the first input point. */
export function interpolation(from: number, to: number): Resampling {
  const weights = new Float32Array(to * from);
  for (let i = 0; i < to; i++) {
    const position = to > 1 ? (i * (from - 1)) / (to - 1) : 0;
    const lower = Math.min(Math.floor(position), from - 1);
    const upper = Math.min(lower + 1, from - 1);
    weights[i * from + lower] = (weights[i * from + lower] ?? 0) + 1 - (position - lower);
    weights[i * from + upper] = (weights[i * from + upper] ?? 0) + (position - lower);
  }
  return { to, from, weights };
}

/** Averages of x [N,C,H,W] over height x width bins; bin i of k spans floor(i*n/k) to ceil((i+1)*n/k), as in PyTorch. */
export function adaptiveAveragePool(x: tf.Tensor, height: number, width: number): tf.Tensor4D {
  const [, , h, w] = x.shape as [number, number, number, number];
  return resample(x, bins(h, height), bins(w, width));
}

function bins(from: number, to: number): Resampling {
  const weights = new Float32Array(to * from);
  for (let i = 0; i < to; i++) {
    const [start, end] = [Math.floor((i * from) / to), Math.ceil(((i + 1) * from) / to)];
    weights.fill(1 / (end - start), i * from + start, i * from + end);
  }
  return { to, from, weights };
}
