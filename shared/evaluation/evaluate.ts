import { batches } from "../data/batches";
import { IGNORE, type Split } from "../data/open";
import type { Arrays, CompiledStep, Engine, Step } from "../engine/engine";
import { argmaxChannels } from "../engine/ops/argmaxChannels";
import { crossEntropy } from "../engine/ops/crossEntropy";
import { unpack } from "../engine/parameters";
import type { tf } from "../engine/tf";
import type { DiscreteNetwork } from "../network/discrete";
import { inferenceNorm, trainingNorm, type Tensors } from "../network/layers";
import type { Supernet } from "../network/supernet";
import { searchStride } from "../space/genotype";
import { count, createConfusion, scores, type Scores } from "./confusion";

/** A network compiled for evaluation with running statistics at one batch size. Parameters are inputs: they may change between calls. */
export interface Evaluator {
  /** Scores and class-weighted loss of parameters over a split. */
  evaluate(parameters: Arrays, split: Split, classWeights: Float32Array, signal?: AbortSignal): Promise<Evaluation>;
  release(): Promise<void>;
}

export interface Evaluation extends Scores {
  loss: number;
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
  const sizes = { weights: network.weights.size, stats: network.stats.size };
  return evaluator(engine, shapeOf(network, batchSize), sizes, (inputs) =>
    network.logits(
      unpack(inputs.weights as tf.Tensor1D, network.weights),
      input(inputs, "images"),
      inferenceNorm(unpack(inputs.stats as tf.Tensor1D, network.stats)),
    ),
  );
}

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
  const compiled = await engine.compile(
    step,
    {
      ...Object.fromEntries(
        Object.entries(sizes).map(([name, size]) => [name, { shape: [size], dtype: "float32" as const }]),
      ),
      images: { shape: [batchSize, 3, height, width], dtype: "float32" },
      labels: { shape: cells, dtype: "int32" },
      classWeights: { shape: [classes], dtype: "float32" },
    },
    "evaluate",
  );
  return {
    evaluate: (parameters, split, classWeights, signal) =>
      run(compiled, parameters, split, classWeights, shape, signal),
    release: () => compiled.release(),
  };
}

async function run(
  compiled: CompiledStep,
  parameters: Arrays,
  split: Split,
  classWeights: Float32Array,
  { batchSize, height, width, classes, stride }: EvaluationShape,
  signal: AbortSignal | undefined,
): Promise<Evaluation> {
  const confusion = createConfusion(classes);
  let loss = 0;
  let examples = 0;
  for await (const batch of batches(split, { batchSize, labelStride: stride, reuse: true })) {
    signal?.throwIfAborted();
    // A short last batch is padded with black images whose labels are ignored.
    const images = padded(batch.images, batchSize * 3 * height * width, 0);
    const labels = padded(batch.labels, (batchSize * height * width) / stride ** 2, IGNORE);
    const out = await compiled.run({ ...parameters, images, labels, classWeights });
    count(confusion, labels, out.predictions ?? []);
    loss += (out.loss?.[0] ?? 0) * batch.size;
    examples += batch.size;
  }
  return { ...scores(confusion), loss: examples > 0 ? loss / examples : 0 };
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
