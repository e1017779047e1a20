import { LatheError } from "../../process/errors";
import { tf } from "../tf";
import { labelledGradient, labelledSoftmax } from "./labelled";

/**
 * Class-weighted cross entropy of logits [N,K,H,W] and int32 labels [N,H,W]: sum(w * -log p) / sum(w) over the pixels whose label is
 * in 0..K-1. Other pixels are ignored; the result is 0 if all are ignored. Differentiable with respect to the logits only. With `threshold`
 * below 1, both sums run over the hard pixels alone: those where the label's probability p is below it.
 */
export function crossEntropy(logits: tf.Tensor, labels: tf.Tensor, classWeights: tf.Tensor, threshold = 1): tf.Scalar {
  const [n, k, h, w] = logits.shape as [number, number, number, number];
  if (labels.shape.join() !== [n, h, w].join() || classWeights.shape.join() !== String(k)) {
    throw new LatheError(
      "INVALID_ARGUMENT",
      `crossEntropy of logits [${logits.shape.join(",")}]: labels are [${labels.shape.join(",")}], must be [${[n, h, w].join(",")}]; ` +
        `class weights are [${classWeights.shape.join(",")}], must be [${k}]`,
    );
  }
  const operation = tf.customGrad((x, save) => {
    const { logs, exps, sums, weight } = labelledSoftmax(x as tf.Tensor, labels, classWeights);
    // Whether a pixel is hard is a constant.
    const counted = threshold < 1 ? tf.mul(weight, tf.cast(tf.less(logs, Math.log(threshold)), "float32")) : weight;
    // Every sum of weights that occurs is far above this bound, which only prevents 0/0.
    const total = tf.maximum(tf.sum(counted), 1e-12);
    (save as tf.GradSaveFunc)([exps, sums, counted, total, labels]);
    return {
      value: tf.neg(tf.div(tf.sum(tf.mul(counted, logs)), total)),
      // d/dx = w * (p - hot) / total, with the pixel's weight w.
      gradFunc: (dy: tf.Tensor, saved: tf.Tensor[]) => {
        const [e, sum, weights, all, own] = saved as [tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor];
        return labelledGradient(e, sum, own, tf.mul(weights, tf.div(dy, all)));
      },
    };
  });
  return operation(logits) as tf.Scalar;
}
