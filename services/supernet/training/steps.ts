import { adam, clipByGlobalNorm } from "../../../shared/engine/adam";
import type { Signature, Step } from "../../../shared/engine/engine";
import { crossEntropy } from "../../../shared/engine/ops/crossEntropy";
import { manifest, pack, unpack, type Manifest } from "../../../shared/engine/parameters";
import { scoped } from "../../../shared/engine/scope";
import { tf } from "../../../shared/engine/tf";
import type { PerDimension } from "../../../shared/network/alphas";
import type { TrainedNetwork } from "../../../shared/network/blockedDiscrete";
import { movedStats, named, trainingNorm, type Norm, type Tensors } from "../../../shared/network/layers";
import { expectedCost, weightedSsr } from "../../../shared/network/penalties";
import type { Supernet } from "../../../shared/network/supernet";
import type { CostTable } from "../../../shared/proto/lathe/v1/space";

/** Sizes of a batch with images [N,3,H,W] and labels [N,H/stride,W/stride]. */
export interface BatchShape {
  batchSize: number;
  height: number;
  width: number;
  stride: number;
  classes: number;
}

/** A network whose weights a weight step trains. */
export interface Trainable {
  weights: Manifest;
  stats: Manifest;
  dropouts: readonly { name: string; channels: number; probability: number }[];
  logits(weights: Tensors, inputs: Tensors, norm: Norm): tf.Tensor4D;
}

/** A supernet for its weight step: the choices come from the input "alphas". */
export function trainableSupernet(supernet: Supernet): Trainable {
  return {
    weights: supernet.weights,
    stats: supernet.stats,
    dropouts: supernet.dropouts,
    logits: (weights, inputs, norm) => {
      const relaxation = supernet.relax(named(inputs, "alphas") as tf.Tensor1D);
      return supernet.logits(weights, relaxation, named(inputs, "images"), norm, inputs);
    },
  };
}

export function trainableNetwork(network: TrainedNetwork): Trainable {
  return {
    ...network,
    logits: (weights, inputs, norm) => network.logits(weights, named(inputs, "images"), norm, inputs),
  };
}

/**
 * One step of the weights (docs/method.md#the-weight-step): class-weighted cross entropy, Adam, and running statistics updated by the
 * batch's moments. Outputs: weights, m, v, stats, loss and norm (of the gradient, which is not clipped). lossScale is the engine's. With `threshold` below 1, the loss
 * is taken over the hard pixels alone (crossEntropy).
 */
export function weightStep(network: Trainable, weightDecay: number, lossScale = 1, threshold = 1): Step {
  return (inputs) => {
    const flat = named(inputs, "weights") as tf.Tensor1D;
    const moments: Tensors = {};
    const norm = trainingNorm((name, moment) => (moments[name] = tf.keep(moment)));
    const loss = (weights: Tensors) =>
      crossEntropy(
        network.logits(weights, inputs, norm),
        named(inputs, "labels"),
        named(inputs, "classWeights"),
        threshold,
      );
    const { value, grad } = lossAndGradient(flat, network.weights, loss, lossScale);
    const stats = named(inputs, "stats") as tf.Tensor1D;
    return {
      ...moved(inputs, "weights", grad, weightDecay),
      stats: scoped("parameters", () => movedStats(stats, pack(moments, network.stats))),
      loss: value,
      norm: tf.sqrt(tf.sum(tf.square(grad))),
    };
  };
}

export interface AlphaLoss {
  table: CostTable;
  /** Cost of the largest network, and the target as a share of it. */
  largestCost: number;
  target: number;
  ssr: PerDimension;
  weightDecay: number;
}

/** Weight of the cross entropy against SSR and cost, and bound of the gradient's norm (docs/method.md#the-alpha-step). */
export const CROSS_ENTROPY_WEIGHT = 100;
export const MAX_NORM = 5;

/**
 * One step of the architecture parameters (docs/method.md#the-alpha-step): 100 CE + ssrFactor * SSR + cost, gradient norm clipped to 5.
 * Adam. First order: weights are constants. Outputs: alphas, m, v, loss, ssr, cost, expectedCost, norm, total. lossScale is the engine's.
 */
export function alphaStep(supernet: Supernet, options: AlphaLoss, lossScale = 1): Step {
  return (inputs) => {
    const weights = scoped("parameters", () => unpack(named(inputs, "weights") as tf.Tensor1D, supernet.weights));
    const terms: Record<string, tf.Tensor> = {};
    const loss = ({ alphas }: Tensors) => {
      const relaxation = supernet.relax(alphas as tf.Tensor1D);
      const norm = trainingNorm(() => undefined);
      const logits = supernet.logits(weights, relaxation, named(inputs, "images"), norm, inputs);
      const entropy = crossEntropy(logits, named(inputs, "labels"), named(inputs, "classWeights"));
      const costRatio = tf.div(expectedCost(supernet.stages, relaxation, options.table), options.largestCost);
      const regularization = weightedSsr(relaxation, options.ssr);
      const miss = tf.mul(tf.square(tf.sub(costRatio, options.target)), tf.reshape(named(inputs, "costWeight"), []));
      Object.assign(terms, { loss: tf.keep(entropy), ssr: tf.keep(regularization), cost: tf.keep(miss) });
      terms.expectedCost = tf.keep(costRatio);
      const factor = tf.reshape(named(inputs, "ssrFactor"), []);
      return tf.addN([tf.mul(entropy, CROSS_ENTROPY_WEIGHT), tf.mul(regularization, factor), miss]) as tf.Scalar;
    };
    const flat = named(inputs, "alphas") as tf.Tensor1D;
    const whole = manifest([{ name: "alphas", shape: [flat.size] }]);
    const { value, grad } = lossAndGradient(flat, whole, loss, lossScale);
    const { gradient, norm } = clipByGlobalNorm(grad, MAX_NORM);
    return { ...moved(inputs, "alphas", gradient, options.weightDecay), ...terms, norm, total: value };
  };
}

/** Value of a loss and its gradient by a flat vector. The derivatives of scale * loss are computed, then divided by the scale. */
function lossAndGradient(
  flat: tf.Tensor1D,
  layout: Manifest,
  loss: (tensors: Tensors) => tf.Scalar,
  scale: number,
): { value: tf.Scalar; grad: tf.Tensor1D } {
  const tensors = scoped("parameters", () => unpack(flat, layout));
  const names = layout.entries.map((entry) => entry.name);
  // tf.valueAndGrads refuses tensors on which the loss does not depend (parameters of decided groups); the engine's call does not.
  const { value, grads } = tf.engine().gradients(
    // Nodes that belong to no part of the network get the scope "loss".
    () => scoped("loss", () => loss(Object.fromEntries(names.map((name) => [name, named(tensors, name)])))),
    names.map((name) => named(tensors, name)),
    scale === 1 ? undefined : tf.scalar(scale),
  );
  const byName = Object.fromEntries(
    names.map((name, index) => [name, grads[index] ?? tf.zeros(named(tensors, name).shape)]),
  );
  const scaled = scoped("parameters", () => pack(byName, layout));
  return { value, grad: scale === 1 ? scaled : tf.div(scaled, scale) };
}

function moved(inputs: Tensors, name: string, gradient: tf.Tensor1D, weightDecay: number): Record<string, tf.Tensor> {
  const next = scoped("optimizer", () =>
    adam({
      parameters: named(inputs, name) as tf.Tensor1D,
      gradient,
      m: named(inputs, "m") as tf.Tensor1D,
      v: named(inputs, "v") as tf.Tensor1D,
      rates: named(inputs, "rates") as tf.Tensor1D,
      weightDecay,
    }),
  );
  return { [name]: next.parameters, m: next.m, v: next.v };
}

/** Signature of a step: flat vectors by size, scalars by shape, one batch, class weights and dropout factors. */
export function stepSignature(
  vectors: Record<string, number>,
  scalars: Record<string, number[]>,
  batch: BatchShape,
  dropouts: readonly { name: string; channels: number }[],
): Signature {
  const { batchSize, height, width, stride, classes } = batch;
  const float = (shape: number[]) => ({ shape, dtype: "float32" as const });
  return {
    ...Object.fromEntries(Object.entries(vectors).map(([name, size]) => [name, float([size])])),
    ...Object.fromEntries(Object.entries(scalars).map(([name, shape]) => [name, float(shape)])),
    images: float([batchSize, 3, height, width]),
    labels: { shape: [batchSize, height / stride, width / stride], dtype: "int32" },
    classWeights: float([classes]),
    ...Object.fromEntries(dropouts.map(({ name, channels }) => [name, float([batchSize, channels, 1, 1])])),
  };
}
