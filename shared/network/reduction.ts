import { conv2d } from "../engine/ops/conv2d";
import { maxPool2x2 } from "../engine/ops/maxPool";
import { relu } from "../engine/ops/relu";
import { tf } from "../engine/tf";
import { named, declareNorm, type Declaration, type Norm, type Tensors } from "./layers";

/**
 * Reduction block (ERFNet's downsampler): ReLU(BN(concat(conv 3x3 stride 2, max-pool 2x2))), [N,in,H,W] -> [N,convOut+in,H/2,W/2].
 * The pooled part comes last, so that an input whose trailing channels are absent gives an output whose trailing channels are.
 */
export function declareReduction(declaration: Declaration, name: string, inputs: number, convOutputs: number): void {
  declaration.weights.push({ name: `${name}/conv`, shape: [convOutputs, inputs, 3, 3] });
  declareNorm(declaration, `${name}/norm`, [convOutputs + inputs]);
}

/** presence: expected presence of each input channel, [in]; it masks the pooled part's gamma and beta. Absent: all present. */
export function reduction(weights: Tensors, name: string, x: tf.Tensor, norm: Norm, presence?: tf.Tensor): tf.Tensor {
  const kernel = named(weights, `${name}/conv`) as tf.Tensor4D;
  const joined = tf.concat([conv2d(x as tf.Tensor4D, kernel, { stride: 2 }), maxPool2x2(x as tf.Tensor4D)], 1);
  let gamma = named(weights, `${name}/norm/gamma`);
  let beta = named(weights, `${name}/norm/beta`);
  if (presence) {
    const mask = tf.concat([tf.ones([kernel.shape[0]]), presence]);
    gamma = tf.mul(gamma, mask);
    beta = tf.mul(beta, mask);
  }
  return relu(norm(`${name}/norm`, joined, gamma, beta) as tf.Tensor4D);
}
