import { batchNorm, batchNormInference } from "../engine/ops/batchNorm";
import { tf } from "../engine/tf";

/** Tensors by the names of a manifest. */
export type Tensors = Record<string, tf.Tensor>;

/** Epsilon of every batch norm, as in ERFNet. */
export const EPSILON = 1e-3;

/** Weight of a new batch in the running statistics. */
const MOMENTUM = 0.1;

export interface Norm {
  /** Normalises x [N,C,H,W]. gamma and beta are [C] or [k,C/k], with masks already multiplied in. */
  (name: string, x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor): tf.Tensor;
  /** Records the moments of a norm that is computed elsewhere; absent if moments are not used. */
  readonly record?: (name: string, mean: tf.Tensor, variance: tf.Tensor) => void;
}

/** Batch norm by the moments of the batch. `record` receives them under "<name>/mean" and "<name>/variance". */
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
  return (name, x, gamma, beta) => {
    const [mean, variance] = [flat(named(stats, `${name}/mean`)), flat(named(stats, `${name}/variance`))];
    return batchNormInference(x, flat(gamma), flat(beta), mean, variance, EPSILON);
  };
}

/** mask * BN(x) with the weights of a name; the mask is multiplied into gamma and beta (docs/method.md#identities). */
export function normed(weights: Tensors, name: string, x: tf.Tensor, norm: Norm, mask?: tf.Tensor): tf.Tensor {
  const gamma = named(weights, `${name}/gamma`);
  const beta = named(weights, `${name}/beta`);
  return mask ? norm(name, x, tf.mul(gamma, mask), tf.mul(beta, mask)) : norm(name, x, gamma, beta);
}

/** Running statistics after one batch, both flat: (1 - MOMENTUM) * old + MOMENTUM * batch, biased variance. */
export function movedStats(stats: tf.Tensor1D, moments: tf.Tensor1D): tf.Tensor1D {
  return tf.add(tf.mul(stats, 1 - MOMENTUM), tf.mul(moments, MOMENTUM));
}

/** Returns a tensor by name, and throws if it is missing. */
export function named(tensors: Tensors, name: string): tf.Tensor {
  const tensor = tensors[name];
  if (!tensor) throw new Error(`no tensor "${name}" among ${Object.keys(tensors).length}`);
  return tensor;
}

function flat(tensor: tf.Tensor): tf.Tensor1D {
  return tensor.rank === 1 ? (tensor as tf.Tensor1D) : tf.reshape(tensor, [-1]);
}

/** Channels first..first+count-1 of x [N,C,H,W]. */
export function channels(x: tf.Tensor, first: number, count: number): tf.Tensor {
  const [n, c, h, w] = x.shape as [number, number, number, number];
  return first === 0 && count === c ? x : tf.slice(x, [0, first, 0, 0], [n, count, h, w]);
}

/** Appends channels of zeros to x [N,C,H,W], up to [N,count,H,W]. */
export function padChannels(x: tf.Tensor, count: number): tf.Tensor {
  const missing = count - (x.shape[1] ?? 0);
  if (missing === 0) return x;
  const none: [number, number] = [0, 0];
  return tf.pad(x as tf.Tensor4D, [none, [0, missing], none, none]);
}

/** Reshapes factors [C] so that they broadcast over [N,C,H,W]; factors of another rank are returned as they are. */
export function perChannel(factors: tf.Tensor): tf.Tensor {
  return factors.rank === 1 ? tf.reshape(factors, [1, factors.size, 1, 1]) : factors;
}
