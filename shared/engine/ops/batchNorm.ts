import { binary, cast, unary } from "../emit";
import { required } from "../kernels/rule";
import { tf } from "../tf";
import { channelAffine, channelMean, channelSum, eagerMean, emitMean, perChannel } from "./channels";
import { defineKernel, single } from "./kernel";

interface Attributes {
  epsilon: number;
}

const kernel = defineKernel<Attributes>({
  name: "LatheBatchNorm",
  traced: (r, inputs, { epsilon }: Attributes) => {
    const [x, gamma, beta] = [required(inputs, "x"), required(inputs, "gamma"), required(inputs, "beta")];
    const exactMean = emitMean(r, x);
    // E[x^2] - E[x]^2 needs one pass less than E[(x - E[x])^2]. The difference is taken in float64, since the digits that both share
    // vanish. Rounding may make it negative, so it is clipped at 0.
    const squares = emitMean(r, binary(r, "Mul", x, x));
    const difference = binary(r, "Sub", squares, binary(r, "Mul", exactMean, exactMean));
    const variance = unary(r, "Relu", cast(r, difference, "float32"));
    const mean = cast(r, exactMean, "float32");
    const y = r.node("BatchNormalization", [x, gamma, beta, mean, variance], x.shape, x.dtype, {
      epsilon: { float: epsilon },
    });
    return [y, mean, variance];
  },
  eager: ({ x, gamma, beta }, { epsilon }) => {
    const mean = eagerMean(x as tf.Tensor);
    const variance = eagerMean(tf.squaredDifference(x as tf.Tensor, perChannel(mean)));
    return [eagerNorm(x as tf.Tensor, gamma as tf.Tensor, beta as tf.Tensor, mean, variance, epsilon), mean, variance];
  },
  gradient: {
    saveInputs: ["x", "gamma"],
    saveOutputs: [false, true, true],
    of: (dy, saved, { epsilon }) => derivative(dy, saved as [tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor], epsilon),
  },
});

/**
 * With M = N*H*W, r = 1/sqrt(variance + epsilon): dbeta = sum dy, dgamma = r * (sum dy*x - mean * dbeta), and
 * dx = gamma*r * (dy - dbeta/M - (x - mean) * r * dgamma/M), which is dy*s + x*a + c with three vectors per channel: two
 * passes for the sums and one over dx.
 */
function derivative(
  dy: tf.Tensor,
  [x, gamma, mean, variance]: [tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor],
  epsilon: number,
): Record<string, () => tf.Tensor> {
  const [n, , h, w] = x.shape as [number, number, number, number];
  const count = n * h * w;
  const rootInverse = tf.rsqrt(tf.add(variance, epsilon));
  const meanDy = channelMean(dy);
  const meanGamma = tf.mul(tf.sub(channelMean(tf.mul(dy, x)), tf.mul(mean, meanDy)), rootInverse);
  return {
    x: () => {
      const scale = tf.mul(gamma, rootInverse);
      const a = tf.neg(tf.mul(tf.mul(scale, rootInverse), meanGamma));
      const c = tf.neg(tf.add(tf.mul(scale, meanDy), tf.mul(a, mean)));
      return tf.add(tf.mul(dy, perChannel(scale)), channelAffine(x, a, c));
    },
    gamma: () => tf.mul(meanGamma, count),
    beta: () => tf.mul(meanDy, count),
  };
}

/**
 * Batch normalisation of x [N,C,H,W] by its own moments, as in training. Returns y, and mean and biased variance per channel [C];
 * no derivative flows through the moments.
 */
export function batchNorm(
  x: tf.Tensor,
  gamma: tf.Tensor,
  beta: tf.Tensor,
  epsilon: number,
): { y: tf.Tensor4D; mean: tf.Tensor1D; variance: tf.Tensor1D } {
  const [y, mean, variance] = kernel({ x, gamma, beta }, { epsilon });
  return { y: y as tf.Tensor4D, mean: mean as tf.Tensor1D, variance: variance as tf.Tensor1D };
}

const inference = defineKernel<Attributes>({
  name: "LatheBatchNormInference",
  traced: (r, inputs, { epsilon }: Attributes) => {
    const parameters = ["x", "gamma", "beta", "mean", "variance"].map((name) => required(inputs, name));
    // One node that reads the parameters directly, so that an export can fold them into the convolution before it.
    const x = required(inputs, "x");
    return r.node("BatchNormalization", parameters, x.shape, x.dtype, { epsilon: { float: epsilon } });
  },
  eager: ({ x, gamma, beta, mean, variance }, { epsilon }) =>
    eagerNorm(x as tf.Tensor, gamma as tf.Tensor, beta as tf.Tensor, mean as tf.Tensor, variance as tf.Tensor, epsilon),
  gradient: {
    saveInputs: ["x", "gamma", "mean", "variance"],
    of: (dy, saved, { epsilon }) => {
      const [x, gamma, mean, variance] = saved as [tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor];
      const rootInverse = tf.rsqrt(tf.add(variance, epsilon));
      return {
        x: () => tf.mul(dy, perChannel(tf.mul(gamma, rootInverse))),
        gamma: () => tf.mul(tf.sub(channelSum(tf.mul(dy, x)), tf.mul(mean, channelSum(dy))), rootInverse),
        beta: () => channelSum(dy),
        mean: () => tf.zerosLike(mean),
        variance: () => tf.zerosLike(variance),
      };
    },
  },
});

function eagerNorm(
  x: tf.Tensor,
  gamma: tf.Tensor,
  beta: tf.Tensor,
  mean: tf.Tensor,
  variance: tf.Tensor,
  epsilon: number,
): tf.Tensor {
  const scale = tf.mul(gamma, tf.rsqrt(tf.add(variance, epsilon)));
  return tf.add(tf.mul(x, perChannel(scale)), perChannel(tf.sub(beta, tf.mul(mean, scale))));
}

/** Batch normalisation of x [N,C,H,W] by given moments [C], as in evaluation; the derivative treats the moments as constants. */
export function batchNormInference(
  x: tf.Tensor,
  gamma: tf.Tensor,
  beta: tf.Tensor,
  mean: tf.Tensor,
  variance: tf.Tensor,
  epsilon: number,
): tf.Tensor4D {
  return single(inference({ x, gamma, beta, mean, variance }, { epsilon })) as tf.Tensor4D;
}
