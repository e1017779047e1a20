import { tf } from "../tf";

/** Weights, row-major [to, from]: output element i is the sum over j of weights[i][j] * input element j. */
export interface Resampling {
  readonly to: number;
  readonly from: number;
  readonly weights: Float32Array;
}

/** Applies a linear map along the height and one along the width of x [N,C,H,W]: two matrix products, whose derivatives are two more. */
export function resample(x: tf.Tensor, vertical: Resampling, horizontal: Resampling): tf.Tensor4D {
  const matrix = ({ to, from, weights }: Resampling) => tf.tensor2d(weights, [to, from]);
  const wide = tf.matMul(x, matrix(horizontal), false, true);
  return tf.matMul<tf.Tensor4D>(matrix(vertical), wide);
}

/** The transposed map, from derivatives of the outputs to derivatives of the inputs. */
export function transposed({ to, from, weights }: Resampling): Resampling {
  const turned = new Float32Array(weights.length);
  weights.forEach((weight, at) => (turned[(at % from) * to + Math.floor(at / from)] = weight));
  return { to: from, from: to, weights: turned };
}
