import { binary, cast, reduce, reshape, unary } from "../emit";
import type { Value } from "../graph";
import { required } from "../kernels/rule";
import type { Recorder } from "../recorder";
import { upTo } from "../signature";
import { tf } from "../tf";
import { perChannel } from "./channels";
import { defineKernel } from "./kernel";

// Softmax at the labels of pixels. A one-hot form would read and write every class of every pixel several times in the forward pass.

/** Positions of labels [N,H,W] among K classes: the label, or 0 where it is none of them, and 1 or 0 for whether it is one, [N,1,H,W]. */
function positionsOf(r: Recorder, labels: Value, classes: number): { index: Value; known: Value } {
  const [n, h, w] = labels.shape as [number, number, number];
  const all = reshape(r, labels, [n, 1, h, w]);
  const notBelow = binary(r, "GreaterOrEqual", all, r.scalar(0, "int32"), "bool");
  const isClass = binary(r, "And", notBelow, binary(r, "Less", all, r.scalar(classes, "int32"), "bool"));
  return { index: binary(r, "Mul", all, cast(r, isClass, "int32")), known: cast(r, isClass, "float32") };
}

/** One-hot labels [N,K,H,W], as float32. Other labels than 0..K-1 have zeros. */
function emitOneHot(r: Recorder, labels: Value, classes: number): Value {
  const [n, h, w] = labels.shape as [number, number, number];
  const each = r.constant(upTo(classes), [1, classes, 1, 1], "int32");
  return cast(r, binary(r, "Equal", reshape(r, labels, [n, 1, h, w]), each, "bool"), "float32");
}

/** One-hot labels in TF.js. */
function oneHot(labels: tf.Tensor, classes: number): tf.Tensor {
  const [n, h, w] = labels.shape as [number, number, number];
  const each = tf.tensor(upTo(classes), [1, classes, 1, 1], "int32");
  return tf.cast(tf.equal(tf.reshape(labels, [n, 1, h, w]), each), "float32");
}

const softmax = defineKernel({
  name: "LatheLabelledSoftmax",
  traced: (r, inputs) => {
    const [x, labels, weights] = [required(inputs, "x"), required(inputs, "labels"), required(inputs, "weights")];
    const { index, known } = positionsOf(r, labels, x.shape[1] as number);
    const shifted = binary(r, "Sub", x, reduce(r, "ReduceMax", x, [1], true));
    const exps = unary(r, "Exp", shifted);
    const sums = reduce(r, "ReduceSum", exps, [1], true);
    const own = r.node("GatherElements", [shifted, index], index.shape, x.dtype, { axis: 1 });
    const weight = r.node("Gather", [weights, index], index.shape, weights.dtype, { axis: 0 });
    return [binary(r, "Sub", own, unary(r, "Log", sums)), exps, sums, binary(r, "Mul", weight, known)];
  },
  eager: ({ x, labels, weights }) => {
    const logits = x as tf.Tensor;
    const hot = oneHot(labels as tf.Tensor, logits.shape[1] as number);
    const shifted = tf.sub(logits, tf.max(logits, 1, true));
    const exps = tf.exp(shifted);
    const sums = tf.sum(exps, 1, true);
    const logProbabilities = tf.sub(shifted, tf.log(sums));
    const weighted = tf.mul(hot, perChannel(weights as tf.Tensor));
    return [tf.sum(tf.mul(hot, logProbabilities), 1, true), exps, sums, tf.sum(weighted, 1, true)];
  },
});

/**
 * Reads logits x [N,K,H,W], int32 labels [N,H,W] and weights of the classes [K]. Returns the logarithm of the label's probability,
 * exp(x - max x) [N,K,H,W], its sum over the classes, and the weight of the label, which is 0 where the label is none of 0..K-1. Each is
 * [N,1,H,W] where not said otherwise. The logarithm of a pixel without a class is that of any.
 */
export function labelledSoftmax(x: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor) {
  const [logs, exps, sums, weight] = softmax({ x, labels, weights }, {}) as [
    tf.Tensor,
    tf.Tensor,
    tf.Tensor,
    tf.Tensor,
  ];
  return { logs, exps, sums, weight };
}

const gradient = defineKernel({
  name: "LatheLabelledSoftmaxGradient",
  traced: (r, inputs) => {
    const [exps, sums] = [required(inputs, "exps"), required(inputs, "sums")];
    const [labels, factors] = [required(inputs, "labels"), required(inputs, "factors")];
    const scaled = binary(r, "Mul", exps, binary(r, "Div", factors, sums));
    // A scatter of the labels' elements took three times as long as these passes: ONNX Runtime runs ScatterElements on one thread.
    return binary(r, "Sub", scaled, binary(r, "Mul", emitOneHot(r, labels, exps.shape[1] as number), factors));
  },
  eager: ({ exps, sums, labels, factors }) => {
    const hot = oneHot(labels as tf.Tensor, (exps as tf.Tensor).shape[1] as number);
    const scaled = tf.mul(exps as tf.Tensor, tf.div(factors as tf.Tensor, sums as tf.Tensor));
    return tf.sub(scaled, tf.mul(hot, factors as tf.Tensor));
  },
});

/**
 * factors * (p - hot): minus the derivative of factors * log p of the labels with respect to the logits, [N,K,H,W], from `exps` and `sums` of
 * labelledSoftmax. factors [N,1,H,W] must be 0 where the label is none of 0..K-1.
 */
export function labelledGradient(exps: tf.Tensor, sums: tf.Tensor, labels: tf.Tensor, factors: tf.Tensor): tf.Tensor {
  return gradient({ exps, sums, labels, factors }, {})[0] as tf.Tensor;
}
