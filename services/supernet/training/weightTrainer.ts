import { batches } from "../../../shared/data/batches";
import type { Dataset } from "../../../shared/data/open";
import { rates } from "../../../shared/engine/adam";
import type { Engine } from "../../../shared/engine/engine";
import { createRandom } from "../../../shared/engine/random";
import { decodeBundle, encodeBundle } from "../../../shared/network/bundle";
import type { DiscreteNetwork } from "../../../shared/network/discrete";
import type { NetworkParameters } from "../../../shared/network/export";
import { dropoutFactors, advance, doubleBuffer } from "./running";
import type { TrainingPort } from "./port";
import { finiteLoss, polyRate } from "./schedule";
import { stepSignature, trainableNetwork, weightStep, type BatchShape, type Trainable } from "./steps";

/** Everything that the training of a network moves: weights, Adam moments, running statistics. */
export interface TrainingVectors extends NetworkParameters {
  m: Float32Array;
  v: Float32Array;
}

/** How weights are trained. */
interface Course {
  /** Of the compiled step, and the beginning of the names of its dropout's random streams: "retraining". */
  name: string;
  /** Names the training in errors. */
  what: string;
  /** Name of the random stream that the batches of an epoch are drawn by. */
  batchStream: (epoch: number) => string;
  /** The field of the spec that the learning rate comes from. */
  rateField: string;
  seed: number;
  epochs: number;
  batchSize: number;
  learningRate: number;
  weightDecay: number;
}

interface WeightTrainer {
  /** One epoch over the training split, or its first `limit` steps; its mean loss. */
  epoch(
    dataset: Dataset,
    epoch: number,
    port: Pick<TrainingPort, "progress" | "signal">,
    limit?: number,
  ): Promise<number>;
  vectors(): TrainingVectors;
  /** Optimizer steps taken. */
  steps(): number;
  release(): Promise<void>;
}

/** Vectors of a network that has taken no step. */
export function untrained({ weights, stats }: NetworkParameters): TrainingVectors {
  return { weights, stats, m: new Float32Array(weights.length), v: new Float32Array(weights.length) };
}

/** Whose weights are trained. */
export interface Subject {
  trainable: Trainable;
  shape: Omit<BatchShape, "batchSize">;
  /** Vectors that the step takes besides its own, by size. */
  vectors?: Record<string, number>;
  /** Those vectors, step by step of an epoch. */
  choices?: (epoch: number) => () => Record<string, Float32Array>;
}

/** A discrete network to be trained. */
export function networkSubject(network: DiscreteNetwork): Subject {
  const { inputHeight: height, inputWidth: width, classes } = network.genotype;
  return { trainable: trainableNetwork(network), shape: { height, width, stride: network.stride, classes } };
}

/** The compiled weight step of a subject, from given vectors that have taken `taken` steps. */
export async function openWeightTrainer(
  engine: Engine,
  { trainable, shape, vectors: chosen = {}, choices = () => () => ({}) }: Subject,
  course: Course,
  classWeights: Float32Array,
  start: TrainingVectors,
  taken: number,
): Promise<WeightTrainer> {
  const { name, what, rateField, seed, epochs, batchSize, learningRate, weightDecay } = course;
  const { dropouts, weights, stats } = trainable;
  const vectors = { weights: weights.size, m: weights.size, v: weights.size, stats: stats.size, ...chosen };
  const step = await engine.compile(
    weightStep(trainable, weightDecay, engine.lossScale),
    stepSignature(vectors, { rates: [2] }, { batchSize, ...shape }, dropouts),
    name,
  );
  let steps = taken;
  const buffer = doubleBuffer({ ...start });
  return {
    vectors: () => buffer.current as unknown as TrainingVectors,
    steps: () => steps,
    epoch: async (dataset, epoch, { progress, signal }, limit = Infinity) => {
      const total = Math.min(limit, Math.floor(dataset.train.length / batchSize));
      const rate = polyRate(learningRate, epoch, epochs);
      let sum = 0;
      let done = 0;
      const order = {
        batchSize,
        labelStride: shape.stride,
        random: createRandom(seed, course.batchStream(epoch)),
        augment: { flip: true, translate: 2 },
        dropLast: true,
        reuse: true,
      };
      const choice = choices(epoch);
      for await (const batch of batches(dataset.train, order)) {
        signal.throwIfAborted();
        steps++;
        done++;
        const outputs = await advance(step, buffer, {
          rates: rates(rate, steps),
          classWeights,
          images: batch.images,
          labels: batch.labels,
          ...choice(),
          ...dropoutFactors(dropouts, batchSize, createRandom(seed, `${name}/dropout/${steps}`)),
        });
        sum += finiteLoss(outputs.loss?.[0] ?? NaN, what, { epoch, step: done, advice: `lower ${rateField}` });
        progress({ epoch, epochs, step: done, steps: total, loss: sum / done });
        if (done >= total) break;
      }
      return done ? sum / done : 0;
    },
    release: () => step.release(),
  };
}

/** Where the training of networks stands, as bytes: a header, what is being moved, and the best so far. */
export function encodeTraining(header: object, vectors: TrainingVectors, best?: NetworkParameters): Uint8Array {
  const { weights, stats, m, v } = vectors;
  const kept = best && { bestWeights: best.weights, bestStats: best.stats };
  return encodeBundle({ header, arrays: { weights, stats, m, v, ...kept } });
}

/** The reverse of encodeTraining; `best` is empty where there was none. `what` names the bytes in errors. */
export function decodeTraining<Header>(
  bytes: Uint8Array,
  what: string,
): { header: Header; vectors: TrainingVectors; best: NetworkParameters } {
  const { header, arrays } = decodeBundle<Header>(bytes, what);
  const take = (name: string) => arrays[name] ?? new Float32Array();
  return {
    header,
    vectors: { weights: take("weights"), stats: take("stats"), m: take("m"), v: take("v") },
    best: { weights: take("bestWeights"), stats: take("bestStats") },
  };
}
