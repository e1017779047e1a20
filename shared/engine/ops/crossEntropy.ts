import { LatheError } from "../../process/errors";
import { upTo } from "../signature";
import { tf } from "../tf";
import { perChannel } from "./channels";

/**
 * Class-weighted cross entropy of logits [N,K,H,W] and int32 labels [N,H,W]: sum(w * -log p) / sum(w) over the pixels whose label is
 * in 0..K-1. Other pixels are ignored; the result is 0 if all are ignored. Differentiable with respect to the logits only. With `threshold`
 * below 1, both sums run over the hard pixels alone: those where the label's probability p is below it. Which pixels are hard is a constant.
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
    const input = x as tf.Tensor;
    const classes = tf.tensor(upTo(k), [1, k, 1, 1], "int32");
    const hot = tf.cast(tf.equal(tf.reshape(labels, [n, 1, h, w]), classes), "float32");
    const shifted = tf.sub(input, tf.max(input, 1, true));
    const logProbabilities = tf.sub(shifted, tf.log(tf.sum(tf.exp(shifted), 1, true)));
    const every = tf.mul(hot, perChannel(classWeights));
    const weighted = threshold < 1 ? tf.mul(every, hard(logProbabilities, hot, threshold)) : every;
    // Every sum of weights that occurs is far above this bound, which only prevents 0/0.
    const total = tf.maximum(tf.sum(weighted), 1e-12);
    (save as tf.GradSaveFunc)([logProbabilities, weighted, total]);
    return {
      value: tf.neg(tf.div(tf.sum(tf.mul(weighted, logProbabilities)), total)),
      // d/dx = (w * p - w * hot) / total, with the pixel's weight w.
      gradFunc: (dy: tf.Tensor, saved: tf.Tensor[]) => {
        const [logs, weights, sum] = saved as [tf.Tensor, tf.Tensor, tf.Tensor];
        const difference = tf.sub(tf.mul(tf.exp(logs), tf.sum(weights, 1, true)), weights);
        return tf.mul(difference, tf.div(dy, sum));
      },
    };
  });
  return operation(logits) as tf.Scalar;
}

/** 1 where the probability of the label is below the threshold, else 0: [N,1,H,W]. */
function hard(logProbabilities: tf.Tensor, hot: tf.Tensor, threshold: number): tf.Tensor {
  const labelled = tf.sum(tf.mul(logProbabilities, hot), 1, true);
  return tf.cast(tf.less(labelled, Math.log(threshold)), "float32");
}
