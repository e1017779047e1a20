import { rates } from "../../../shared/engine/adam";
import type { CompiledStep, Engine, Signature, Step } from "../../../shared/engine/engine";
import { createRandom } from "../../../shared/engine/random";
import type { Batch } from "../../../shared/data/batches";
import { supernetEvaluator, type Evaluator } from "../../../shared/evaluation/evaluate";
import type { Optimized, SupernetState } from "../../../shared/network/checkpoint";
import { dropoutFactors, advance, doubleBuffer } from "./running";
import { formulate } from "./formulation";
import type { CompiledSteps } from "./port";
import { alphaStep, stepSignature, trainableSupernet, weightStep, type AlphaLoss } from "./steps";
import { searchStride } from "../../../shared/space/head";

export interface StepOptions {
  seed: number;
  batchSize: number;
  weightDecay: number;
  alpha: AlphaLoss;
  classWeights: Float32Array;
}

/** Weights of the terms of the alpha loss at one step. */
export interface AlphaWeights {
  ssrFactor: number;
  costWeight: number;
}

export interface WeightOutcome {
  loss: number;
  /** Norm of the gradient. */
  norm: number;
}

export interface AlphaOutcome {
  loss: number;
  ssr: number;
  cost: number;
  norm: number;
}

/** The compiled steps of one supernet, and its state until they are released. A shrunk supernet needs a new trainer. */
export interface SupernetTrainer {
  compiled: Omit<CompiledSteps, "epoch" | "estimatedBytes">;
  weightStep(batch: Batch, learningRate: number): Promise<WeightOutcome>;
  /** Absent if every group is decided. */
  alphaStep?: (batch: Batch, learningRate: number, weights: AlphaWeights) => Promise<AlphaOutcome>;
  evaluator: Evaluator;
  state(): SupernetState;
  release(): Promise<void>;
}

/** Traces and compiles the weight, alpha and evaluation graphs of a supernet (docs/engine.md#running-a-step). */
export async function openSupernetTrainer(
  engine: Engine,
  start: SupernetState,
  options: StepOptions,
): Promise<SupernetTrainer> {
  const { supernet } = start;
  const { space } = supernet;
  const { batchSize, classWeights } = options;
  const { inputHeight: height, inputWidth: width, classes } = space;
  const shape = { batchSize, height, width, stride: searchStride(space), classes };
  const started = performance.now();
  const formulation = formulate(engine, supernet, batchSize);
  const { size: w } = formulation.network.weights;
  const { size: a } = supernet.alphas;
  const weightSignature = stepSignature(
    { weights: w, m: w, v: w, stats: formulation.network.stats.size, alphas: a },
    { rates: [2] },
    shape,
    supernet.dropouts,
  );
  const compiled: CompiledStep[] = [];
  const compile = async (step: Step, signature: Signature, name: string) => {
    const done = await engine.compile(step, signature, name, formulation.optimization);
    compiled.push(done);
    return done;
  };
  const weights = await compile(
    weightStep(trainableSupernet(formulation.network), options.weightDecay, engine.lossScale),
    weightSignature,
    "weights",
  );
  const undecided = supernet.architecture.groups.some((group) => group.survivors.length > 1);
  const alphaSignature = stepSignature(
    { alphas: a, m: a, v: a, weights: w },
    { rates: [2], ssrFactor: [1], costWeight: [1] },
    shape,
    supernet.dropouts,
  );
  const alphas = undecided
    ? await compile(alphaStep(formulation.network, options.alpha, engine.lossScale), alphaSignature, "alphas")
    : undefined;
  const evaluator = await supernetEvaluator(engine, supernet, batchSize);

  const weightVectors = doubleBuffer({
    weights: formulation.enter("weights", start.weights.values),
    m: formulation.enter("weights", start.weights.m),
    v: formulation.enter("weights", start.weights.v),
    stats: formulation.enter("stats", start.stats),
  });
  const alphaVectors = doubleBuffer({ alphas: start.alphas.values, m: start.alphas.m, v: start.alphas.v });
  const steps = { weights: start.weights.steps, alphas: start.alphas.steps };
  const dropouts = (kind: string, step: number) =>
    dropoutFactors(supernet.dropouts, batchSize, createRandom(options.seed, `dropout/${kind}/${step}`));

  return {
    compiled: {
      formulation: formulation.name,
      nodes: weights.nodes + (alphas?.nodes ?? 0),
      seconds: (performance.now() - started) / 1000,
    },
    weightStep: async (batch, learningRate) => {
      steps.weights++;
      const outputs = await advance(weights, weightVectors, {
        alphas: vector(alphaVectors.current.alphas),
        rates: rates(learningRate, steps.weights),
        classWeights,
        images: batch.images,
        labels: batch.labels,
        ...dropouts("weights", steps.weights),
      });
      return { loss: outputs.loss?.[0] ?? NaN, norm: outputs.norm?.[0] ?? NaN };
    },
    ...(alphas && {
      alphaStep: async (batch: Batch, learningRate: number, { ssrFactor, costWeight }: AlphaWeights) => {
        steps.alphas++;
        const outputs = await advance(alphas, alphaVectors, {
          weights: vector(weightVectors.current.weights),
          rates: rates(learningRate, steps.alphas),
          ssrFactor: Float32Array.of(ssrFactor),
          costWeight: Float32Array.of(costWeight),
          classWeights,
          images: batch.images,
          labels: batch.labels,
          ...dropouts("alphas", steps.alphas),
        });
        const scalar = (name: string) => outputs[name]?.[0] ?? NaN;
        return { loss: scalar("loss"), ssr: scalar("ssr"), cost: scalar("cost"), norm: scalar("norm") };
      },
    }),
    evaluator,
    state: () => {
      const { values, m, v, steps: taken } = optimized(weightVectors.current, "weights", steps.weights);
      const plain = (vector: Float32Array) => formulation.leave("weights", vector);
      return {
        supernet,
        weights: { values: plain(values), m: plain(m), v: plain(v), steps: taken },
        stats: formulation.leave("stats", vector(weightVectors.current.stats)),
        alphas: optimized(alphaVectors.current, "alphas", steps.alphas),
      };
    },
    release: async () => {
      await Promise.all([...compiled.map((step) => step.release()), evaluator.release()]);
    },
  };
}

function optimized(vectors: Record<string, Float32Array | Int32Array>, name: string, steps: number): Optimized {
  return { values: vector(vectors[name]), m: vector(vectors.m), v: vector(vectors.v), steps };
}

function vector(values: Float32Array | Int32Array | undefined): Float32Array {
  if (!(values instanceof Float32Array)) throw new Error("a vector of float32 is missing");
  return values;
}
