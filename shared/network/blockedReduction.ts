import { filledUp, type ReductionPlan } from "../engine/nchwc/reduction/plan";
import { reduce, reduceImages } from "../engine/nchwc/reduction/reduction";
import { tf } from "../engine/tf";
import { named, type Norm, type Tensors } from "./layers";

/** The stem in blocked layout: images [N,3,H,W] in plain order -> [1, output, H/2, N*W/2]. */
export function blockedStem(weights: Tensors, plan: ReductionPlan, images: tf.Tensor, norm: Norm): tf.Tensor {
  const { y, mean, variance } = reduceImages(plan, { images, ...tensorsOf(weights, "stem") });
  norm.record?.("stem/norm", mean, variance);
  return y;
}

/**
 * A reduction in blocked layout, [1, input, H, N*W] -> [1, output, H/2, N*W/2]; presence: of the input's channels, [inputs], absent
 * where all are there.
 */
export function blockedReduction(
  weights: Tensors,
  name: string,
  plan: ReductionPlan,
  x: tf.Tensor,
  norm: Norm,
  presence?: tf.Tensor,
): tf.Tensor {
  const { kernels, gamma, beta } = tensorsOf(weights, name);
  const masked = (values: tf.Tensor) => (presence ? tf.mul(values, maskOf(plan, presence)) : values);
  const { y, mean, variance } = reduce(plan, { x, kernels, gamma: masked(gamma), beta: masked(beta) });
  norm.record?.(`${name}/norm`, mean, variance);
  return y;
}

/** The presence of the output's channels: 1 for what the convolution adds, then the input's, 0 for what fills up. */
function maskOf(plan: ReductionPlan, presence: tf.Tensor): tf.Tensor {
  const filling = filledUp(plan).output - plan.convolution - plan.inputs;
  const parts = [tf.ones([plan.convolution]), presence];
  return tf.concat(filling > 0 ? [...parts, tf.zeros([filling])] : parts);
}

function tensorsOf(weights: Tensors, name: string) {
  return {
    kernels: named(weights, `${name}/conv`),
    gamma: named(weights, `${name}/norm/gamma`),
    beta: named(weights, `${name}/norm/beta`),
  };
}
