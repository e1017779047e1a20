import { tf } from "./tf";

const BETA1 = 0.9;
const BETA2 = 0.999;

interface AdamInputs {
  /** Flat vectors of one length: parameters, their gradient, and the moving averages of gradient and squared gradient. */
  parameters: tf.Tensor1D;
  gradient: tf.Tensor1D;
  m: tf.Tensor1D;
  v: tf.Tensor1D;
  /** The result of `rates`, an input of the step because it changes with the step number. */
  rates: tf.Tensor1D;
  /** L2 penalty, added to the gradient as in PyTorch's Adam. */
  weightDecay?: number;
  /** The same values as those passed to `rates`. */
  beta1?: number;
  beta2?: number;
  epsilon?: number;
}

/**
 * The bias corrections of Adam at a step counted from 1, in double precision: [rate / (1 - beta1^step), 1 / sqrt(1 - beta2^step)].
 * They are an input of the compiled step, because float32 would lose digits of 1 - beta2^step.
 */
export function rates(learningRate: number, step: number, beta1 = BETA1, beta2 = BETA2): Float32Array {
  return Float32Array.of(learningRate / (1 - beta1 ** step), 1 / Math.sqrt(1 - beta2 ** step));
}

/** One step of Adam (Kingma and Ba, algorithm 1) on flat vectors, written in standard ops. */
export function adam(inputs: AdamInputs): { parameters: tf.Tensor1D; m: tf.Tensor1D; v: tf.Tensor1D } {
  const { parameters, weightDecay = 0, beta1 = BETA1, beta2 = BETA2, epsilon = 1e-8 } = inputs;
  const gradient = weightDecay === 0 ? inputs.gradient : tf.add(inputs.gradient, tf.mul(parameters, weightDecay));
  const m = tf.add(tf.mul(inputs.m, beta1), tf.mul(gradient, 1 - beta1));
  const v = tf.add(tf.mul(inputs.v, beta2), tf.mul(tf.square(gradient), 1 - beta2));
  const rate = tf.slice(inputs.rates, 0, 1);
  const rootCorrection = tf.slice(inputs.rates, 1, 1);
  const denominator = tf.add(tf.mul(tf.sqrt(v), rootCorrection), epsilon);
  const moved = tf.sub(parameters, tf.mul(tf.div(m, denominator), rate));
  return { parameters: moved as tf.Tensor1D, m: m as tf.Tensor1D, v: v as tf.Tensor1D };
}

/** Scales a gradient down to the given L2 norm if it is longer, as PyTorch's clip_grad_norm_ does; `norm` is the norm before clipping. */
export function clipByGlobalNorm(gradient: tf.Tensor1D, maxNorm: number): { gradient: tf.Tensor1D; norm: tf.Scalar } {
  const norm = tf.sqrt(tf.sum(tf.square(gradient)));
  const factor = tf.minimum(tf.div(maxNorm, tf.add(norm, 1e-6)), 1);
  return { gradient: tf.mul(gradient, factor), norm: norm as tf.Scalar };
}
