import { batches } from "../data/batches";
import { IGNORE, type Split } from "../data/open";
import type { Arrays, Engine, Signature, Step } from "../engine/engine";
import { argmaxChannels } from "../engine/ops/argmaxChannels";
import { crossEntropy } from "../engine/ops/crossEntropy";
import { unpack } from "../engine/parameters";
import type { tf } from "../engine/tf";
import type { DiscreteNetwork } from "../network/discrete";
import { inferenceNorm, trainingNorm, type Tensors } from "../network/layers";
import type { Supernet } from "../network/supernet";
import { count, createConfusion, scores, type Scores } from "./confusion";
import { searchStride } from "../space/head";

/** A network compiled for evaluation with running statistics at one batch size. Parameters are inputs: they may change between calls. */
export interface Evaluator {
  /** Scores and class-weighted loss of parameters over a split. */
  evaluate(parameters: Arrays, split: Split, classWeights: Float32Array, signal?: AbortSignal): Promise<Evaluation>;
  release(): Promise<void>;
}

export interface Evaluation extends Scores {
  loss: number;
}

/** An evaluator without the loss, which reads every class of every pixel several times. */
interface Scorer {
  score(parameters: Arrays, split: Split, signal?: AbortSignal): Promise<Scores>;
  release(): Promise<void>;
}

/** Sizes of the images and labels of an evaluation. */
interface EvaluationShape {
  batchSize: number;
  height: number;
  width: number;
  classes: number;
  /** Input pixels per cell of the logits, in each direction. Labels are compared at that stride. */
  stride: number;
}

/** Evaluator of a supernet; parameters are its weights, stats and alphas. */
export function supernetEvaluator(engine: Engine, supernet: Supernet, batchSize: number): Promise<Evaluator> {
  const { space } = supernet;
  const shape = {
    batchSize,
    height: space.inputHeight,
    width: space.inputWidth,
    classes: space.classes,
    stride: searchStride(space),
  };
  const sizes = { weights: supernet.weights.size, stats: supernet.stats.size, alphas: supernet.alphas.size };
  return evaluator(engine, shape, sizes, (inputs) =>
    supernet.logits(
      unpack(inputs.weights as tf.Tensor1D, supernet.weights),
      supernet.relax(inputs.alphas as tf.Tensor1D),
      input(inputs, "images"),
      inferenceNorm(unpack(inputs.stats as tf.Tensor1D, supernet.stats)),
    ),
  );
}

/** Evaluator of a discrete network; parameters are its weights and stats. */
export function discreteEvaluator(engine: Engine, network: DiscreteNetwork, batchSize: number): Promise<Evaluator> {
  return evaluator(engine, shapeOf(network, batchSize), sizesOf(network), discreteLogits(network));
}

/** Scorer of a discrete network; parameters are its weights and stats. */
export async function discreteScorer(engine: Engine, network: DiscreteNetwork, batchSize: number): Promise<Scorer> {
  const shape = shapeOf(network, batchSize);
  const logitsOf = discreteLogits(network);
  const step: Step = (inputs) => ({ predictions: argmaxChannels(logitsOf(inputs)) });
  const signature = { ...vectors(sizesOf(network)), images: imagesOf(shape) };
  const compiled = await engine.compile(step, signature, "evaluate");
  return {
    score: async (parameters, split, signal) => {
      const confusion = createConfusion(shape.classes);
      for await (const { images, labels } of wholeBatches(split, shape, signal)) {
        const { predictions = [] } = await compiled.run({ ...parameters, images });
        count(confusion, labels, predictions);
      }
      return scores(confusion);
    },
    release: () => compiled.release(),
  };
}

const sizesOf = ({ weights, stats }: DiscreteNetwork) => ({ weights: weights.size, stats: stats.size });

const discreteLogits =
  (network: DiscreteNetwork) =>
  (inputs: Tensors): tf.Tensor4D =>
    network.logits(
      unpack(inputs.weights as tf.Tensor1D, network.weights),
      input(inputs, "images"),
      inferenceNorm(unpack(inputs.stats as tf.Tensor1D, network.stats)),
    );

/**
 * Evaluator of a discrete network that has no statistics yet: each batch norm takes the moments of the batch that is evaluated. Parameters are
 * the weights. A split must have whole batches, because the images that fill up a short one would change its moments.
 */
export function momentsEvaluator(engine: Engine, network: DiscreteNetwork, batchSize: number): Promise<Evaluator> {
  const norm = trainingNorm(() => undefined);
  return evaluator(engine, shapeOf(network, batchSize), { weights: network.weights.size }, (inputs) =>
    network.logits(unpack(inputs.weights as tf.Tensor1D, network.weights), input(inputs, "images"), norm),
  );
}

const shapeOf = ({ genotype, stride }: DiscreteNetwork, batchSize: number): EvaluationShape => ({
  ...{ batchSize, stride },
  height: genotype.inputHeight,
  width: genotype.inputWidth,
  classes: genotype.classes,
});

async function evaluator(
  engine: Engine,
  shape: EvaluationShape,
  sizes: Record<string, number>,
  logitsOf: (inputs: Tensors) => tf.Tensor4D,
): Promise<Evaluator> {
  const { batchSize, height, width, classes, stride } = shape;
  const cells = [batchSize, height / stride, width / stride];
  const step: Step = (inputs) => {
    const logits = logitsOf(inputs);
    const labels = input(inputs, "labels") as tf.Tensor3D;
    const loss = crossEntropy(logits, labels, input(inputs, "classWeights"));
    return { predictions: argmaxChannels(logits), loss };
  };
  const signature: Signature = {
    ...vectors(sizes),
    images: imagesOf(shape),
    labels: { shape: cells, dtype: "int32" },
    classWeights: { shape: [classes], dtype: "float32" },
  };
  const compiled = await engine.compile(step, signature, "evaluate");
  return {
    evaluate: async (parameters, split, classWeights, signal) => {
      const confusion = createConfusion(classes);
      let loss = 0;
      let examples = 0;
      for await (const { images, labels, examples: size } of wholeBatches(split, shape, signal)) {
        const out = await compiled.run({ ...parameters, images, labels, classWeights });
        count(confusion, labels, out.predictions ?? []);
        loss += (out.loss?.[0] ?? 0) * size;
        examples += size;
      }
      return { ...scores(confusion), loss: examples > 0 ? loss / examples : 0 };
    },
    release: () => compiled.release(),
  };
}

const vectors = (sizes: Record<string, number>): Signature =>
  Object.fromEntries(Object.entries(sizes).map(([name, size]) => [name, { shape: [size], dtype: "float32" }]));

const imagesOf = ({ batchSize, height, width }: EvaluationShape) =>
  ({ shape: [batchSize, 3, height, width], dtype: "float32" }) as const;

/** The batches of a split. A short last one is filled up with black images whose labels are ignored; `examples` are those of the split. */
async function* wholeBatches(
  split: Split,
  { batchSize, height, width, stride }: EvaluationShape,
  signal: AbortSignal | undefined,
): AsyncGenerator<{ images: Float32Array; labels: Int32Array; examples: number }> {
  for await (const batch of batches(split, { batchSize, labelStride: stride, reuse: true })) {
    signal?.throwIfAborted();
    yield {
      images: padded(batch.images, batchSize * 3 * height * width, 0),
      labels: padded(batch.labels, (batchSize * height * width) / stride ** 2, IGNORE),
      examples: batch.size,
    };
  }
}

function padded<T extends Float32Array | Int32Array>(values: T, length: number, fill: number): T {
  if (values.length === length) return values;
  const all = (values instanceof Float32Array ? new Float32Array(length) : new Int32Array(length)) as T;
  all.fill(fill);
  all.set(values);
  return all;
}

function input(inputs: Tensors, name: string): tf.Tensor {
  const tensor = inputs[name];
  if (!tensor) throw new Error(`no input "${name}"`);
  return tensor;
}
