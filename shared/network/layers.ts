import { batchNorm, batchNormInference } from "../engine/ops/batchNorm";
import { tf } from "../engine/tf";

/** Tensors by the names of a manifest. */
export type Tensors = Record<string, tf.Tensor>;

/** Epsilon of every batch norm, as in the reference. */
export const EPSILON = 1e-3;

/** Share of the newest batch in the running statistics. */
const MOMENTUM = 0.1;

export interface Norm {
  /** Normalises x [N,C,H,W]; gamma and beta may be stacked [k,C/k] and are used as given (masks already multiplied in). */
  (name: string, x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor): tf.Tensor;
  /** Takes the moments of a norm that was computed elsewhere; absent where moments are of no interest. */
  readonly record?: (name: string, mean: tf.Tensor, variance: tf.Tensor) => void;
}

/** Batch norm by the moments of the batch, which are handed to record under "<name>/mean" and "<name>/variance". */
export function trainingNorm(record: (name: string, moment: tf.Tensor) => void): Norm {
  const both = (name: string, mean: tf.Tensor, variance: tf.Tensor) => {
    record(`${name}/mean`, mean);
    record(`${name}/variance`, variance);
  };
  const norm = (name: string, x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor) => {
    const { y, mean, variance } = batchNorm(x, flat(gamma), flat(beta), EPSILON);
    both(name, tf.reshape(mean, gamma.shape), tf.reshape(variance, gamma.shape));
    return y;
  };
  return Object.assign(norm, { record: both });
}

/** Batch norm by running statistics. */
export function inferenceNorm(stats: Tensors): Norm {
  return (name, x, gamma, beta) =>
    batchNormInference(
      x,
      flat(gamma),
      flat(beta),
      flat(named(stats, `${name}/mean`)),
      flat(named(stats, `${name}/variance`)),
      EPSILON,
    );
}

/** Running statistics after one batch, both flat: (1 - MOMENTUM) * old + MOMENTUM * batch, biased variance. */
export function movedStats(stats: tf.Tensor1D, moments: tf.Tensor1D): tf.Tensor1D {
  return tf.add(tf.mul(stats, 1 - MOMENTUM), tf.mul(moments, MOMENTUM));
}

/** A tensor by name; a missing one is a fault of the caller's manifest. */
export function named(tensors: Tensors, name: string): tf.Tensor {
  const tensor = tensors[name];
  if (!tensor) throw new Error(`no tensor "${name}" among ${Object.keys(tensors).length}`);
  return tensor;
}

function flat(tensor: tf.Tensor): tf.Tensor1D {
  return tensor.rank === 1 ? (tensor as tf.Tensor1D) : tf.reshape(tensor, [-1]);
}

/** Channels first..first+count of x [N,C,H,W]. */
export function channels(x: tf.Tensor, first: number, count: number): tf.Tensor {
  const [n, c, h, w] = x.shape as [number, number, number, number];
  return first === 0 && count === c ? x : tf.slice(x, [0, first, 0, 0], [n, count, h, w]);
}

/** x [N,C,H,W] with channels of zeros behind its own, [N,count,H,W]. */
export function padChannels(x: tf.Tensor, count: number): tf.Tensor {
  const missing = count - (x.shape[1] ?? 0);
  if (missing === 0) return x;
  return tf.pad(x as tf.Tensor4D, [
    [0, 0],
    [0, missing],
    [0, 0],
    [0, 0],
  ]);
}

/** Per-channel or per-sample-and-channel factors as a tensor that broadcasts over [N,C,H,W]. */
export function perChannel(factors: tf.Tensor): tf.Tensor {
  return factors.rank === 1 ? tf.reshape(factors, [1, factors.size, 1, 1]) : factors;
}
