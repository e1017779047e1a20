import { batches, type Augmentation } from "../../../shared/data/batches";
import type { Dataset } from "../../../shared/data/open";
import { rates } from "../../../shared/engine/adam";
import type { CompiledStep, Engine } from "../../../shared/engine/engine";
import { createRandom } from "../../../shared/engine/random";
import type { DiscreteNetwork } from "../../../shared/network/discrete";
import type { NetworkParameters } from "../../../shared/network/export";
import type { TrainingVectors } from "../../../shared/network/training";
import { moveAverage } from "./ema";
import { formulateNetwork, type Formulation } from "./formulation";
import { dropoutFactors, advance, doubleBuffer, type DoubleBuffer } from "./running";
import type { TrainingPort } from "./port";
import { finiteLoss, polyRate, warmup } from "./schedule";
import { stepSignature, trainableNetwork, weightStep, type BatchShape, type Trainable } from "./steps";

/** Settings of a training of weights. */
interface Course {
  /** Name of the compiled step, and prefix of the random streams of its dropout: "retraining". */
  name: string;
  /** Names the training in errors. */
  what: string;
  /** Name of the random stream from which the batches of an epoch are drawn. */
  batchStream: (epoch: number) => string;
  /** Field of the spec that sets the learning rate, for errors. */
  rateField: string;
  seed: number;
  epochs: number;
  batchSize: number;
  learningRate: number;
  weightDecay: number;
  augmentation: Augmentation;
  /** First epochs over which the learning rate rises from step to step; by default none. */
  rateWarmupEpochs?: number;
  /** Share of its former value that the moving average of the weights keeps in a step. By default, and with 0, there is no average. */
  emaDecay?: number;
  /** Only pixels whose label has a probability below this count in the loss; by default all do. */
  ohemThreshold?: number;
}

interface WeightTrainer {
  /** Trains one epoch over the training split, or its first `limit` steps, and returns the mean loss. */
  epoch(
    dataset: Dataset,
    epoch: number,
    port: Pick<TrainingPort, "progress" | "signal">,
    limit?: number,
  ): Promise<number>;
  vectors(): TrainingVectors;
  /** The network as it is evaluated: the moving average if there is one, else the weights of the last step. */
  parameters(): NetworkParameters;
  /** Optimizer steps taken. */
  steps(): number;
  release(): Promise<void>;
}

/** Vectors of a network before its first step: Adam moments are 0. */
export function untrained({ weights, stats }: NetworkParameters): TrainingVectors {
  return { weights, stats, m: new Float32Array(weights.length), v: new Float32Array(weights.length) };
}

/** The network whose weights are trained. */
export interface Subject {
  formulation: Formulation<Trainable>;
  shape: Omit<BatchShape, "batchSize">;
  /** Further inputs of the step that it does not move: sizes by name. */
  vectors?: Record<string, number>;
  /** Values of these inputs. Each call of the returned function gives those of the epoch's next step. */
  choices?: (epoch: number) => () => Record<string, Float32Array>;
}

export function networkSubject(engine: Engine, network: DiscreteNetwork, batchSize: number): Subject {
  const { inputHeight: height, inputWidth: width, classes } = network.genotype;
  const formulation = formulateNetwork(engine, network, batchSize);
  return {
    formulation: { ...formulation, network: trainableNetwork(formulation.network) },
    shape: { height, width, stride: network.stride, classes },
  };
}

/** Compiles the weight step of a subject for batches of a size. */
export function compileWeightStep(
  engine: Engine,
  { formulation: { network, optimization }, shape, vectors = {} }: Subject,
  {
    name,
    batchSize,
    weightDecay,
    ohemThreshold = 1,
  }: Pick<Course, "name" | "batchSize" | "weightDecay" | "ohemThreshold">,
): Promise<CompiledStep> {
  const { dropouts, weights, stats } = network;
  const sizes = { weights: weights.size, m: weights.size, v: weights.size, stats: stats.size, ...vectors };
  return engine.compile(
    weightStep(network, weightDecay, engine.lossScale, ohemThreshold),
    stepSignature(sizes, { rates: [2] }, { batchSize, ...shape }, dropouts),
    name,
    optimization,
  );
}

const entered = ({ enter }: Formulation<Trainable>, { weights, stats }: NetworkParameters): NetworkParameters => ({
  weights: enter("weights", weights),
  stats: enter("stats", stats),
});

/** The vectors that a training's steps move, in the order of its formulation. */
export function trainingBuffer({ formulation }: Subject, start: TrainingVectors): DoubleBuffer {
  const [m, v] = [formulation.enter("weights", start.m), formulation.enter("weights", start.v)];
  return doubleBuffer({ ...entered(formulation, start), m, v });
}

/** Compiles the weight step of a subject. Training continues from `start`, whose vectors have taken `taken` steps. */
export async function openWeightTrainer(
  engine: Engine,
  subject: Subject,
  course: Course,
  classWeights: Float32Array,
  start: TrainingVectors,
  taken: number,
): Promise<WeightTrainer> {
  const { name, what, rateField, seed, epochs, batchSize, learningRate, augmentation } = course;
  const { rateWarmupEpochs = 0, emaDecay = 0 } = course;
  const { formulation, shape, choices = () => () => ({}) } = subject;
  const { dropouts } = formulation.network;
  const step = await compileWeightStep(engine, subject, course);
  let steps = taken;
  const { leave } = formulation;
  const left = ({ weights, stats }: NetworkParameters) => ({
    weights: leave("weights", weights),
    stats: leave("stats", stats),
  });
  const buffer = trainingBuffer(subject, start);
  const current = () => buffer.current as unknown as TrainingVectors;
  const average = emaDecay > 0 ? entered(formulation, start.average ?? start) : undefined;
  return {
    vectors: () => {
      const { m, v } = current();
      const moments = { m: leave("weights", m), v: leave("weights", v) };
      return { ...left(current()), ...moments, ...(average && { average: left(average) }) };
    },
    parameters: () => left(average ?? current()),
    steps: () => steps,
    epoch: async (dataset, epoch, { progress, signal }, limit = Infinity) => {
      const total = Math.min(limit, Math.floor(dataset.train.length / batchSize));
      const rate = polyRate(learningRate, epoch, epochs);
      const rising = rateWarmupEpochs * total;
      let sum = 0;
      let done = 0;
      const order = {
        batchSize,
        labelStride: shape.stride,
        random: createRandom(seed, course.batchStream(epoch)),
        augmentation,
        dropLast: true,
        reuse: true,
      };
      const choice = choices(epoch);
      for await (const batch of batches(dataset.train, order)) {
        signal.throwIfAborted();
        steps++;
        done++;
        const outputs = await advance(step, buffer, {
          rates: rates(rate * warmup(steps, rising), steps),
          classWeights,
          images: batch.images,
          labels: batch.labels,
          ...choice(),
          ...dropoutFactors(dropouts, batchSize, createRandom(seed, `${name}/dropout/${steps}`)),
        });
        if (average) moveAverage(average, current(), emaDecay, steps);
        sum += finiteLoss(outputs.loss?.[0] ?? NaN, what, { epoch, step: done, advice: `lower ${rateField}` });
        progress({ epoch, epochs, step: done, steps: total, loss: sum / done });
        if (done >= total) break;
      }
      return done ? sum / done : 0;
    },
    release: () => step.release(),
  };
}
