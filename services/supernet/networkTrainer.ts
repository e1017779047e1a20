import { batches } from "../../shared/data/batches";
import type { Dataset } from "../../shared/data/dataset";
import { rates } from "../../shared/engine/adam";
import type { Engine } from "../../shared/engine/engine";
import { createRandom } from "../../shared/engine/random";
import type { DiscreteNetwork } from "../../shared/network/discrete";
import type { NetworkParameters } from "../../shared/network/export";
import { dropoutFactors } from "./dropout";
import type { StepProgress } from "./progress";
import { advance, doubleBuffer } from "./optimizer";
import { finiteLoss, polyRate } from "./schedule";
import { stepSignature, trainableNetwork, weightStep } from "./steps";

/** Everything that the training of a network moves: weights, Adam moments, running statistics. */
export interface TrainingVectors extends NetworkParameters {
  m: Float32Array;
  v: Float32Array;
}

/** How a network is trained. */
export interface Course {
  /** Begins the names of its random streams, and names the training in errors: "retraining". */
  name: string;
  /** The field of the spec that the learning rate comes from. */
  rateField: string;
  seed: number;
  epochs: number;
  batchSize: number;
  learningRate: number;
  weightDecay: number;
}

export interface NetworkTrainer {
  /** One epoch over the training split, or its first `limit` steps; its mean loss. */
  epoch(dataset: Dataset, epoch: number, port: TrainerPort, limit?: number): Promise<number>;
  vectors(): TrainingVectors;
  /** Optimizer steps taken. */
  steps(): number;
  release(): Promise<void>;
}

export interface TrainerPort {
  progress: (progress: StepProgress) => void;
  signal: AbortSignal;
}

/** Vectors of a network that has taken no step. */
export function untrained({ weights, stats }: NetworkParameters): TrainingVectors {
  return { weights, stats, m: new Float32Array(weights.length), v: new Float32Array(weights.length) };
}

/** The compiled training step of a discrete network, from given vectors that have taken `taken` steps. */
export async function openNetworkTrainer(
  engine: Engine,
  network: DiscreteNetwork,
  { name, rateField, seed, epochs, batchSize, learningRate, weightDecay }: Course,
  classWeights: Float32Array,
  start: TrainingVectors,
  taken: number,
): Promise<NetworkTrainer> {
  const { genotype } = network;
  const { size } = network.weights;
  const shape = {
    batchSize,
    height: genotype.inputHeight,
    width: genotype.inputWidth,
    stride: network.stride,
    classes: genotype.classes,
  };
  const vectors = { weights: size, m: size, v: size, stats: network.stats.size };
  const step = await engine.compile(
    weightStep(trainableNetwork(network), weightDecay),
    stepSignature(vectors, { rates: [2] }, shape, network.dropouts),
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
        labelStride: network.stride,
        random: createRandom(seed, `${name}/${epoch}`),
        augment: { flip: true, translate: 2 },
        dropLast: true,
      };
      for await (const batch of batches(dataset.train, order)) {
        signal.throwIfAborted();
        steps++;
        done++;
        const outputs = await advance(step, buffer, {
          rates: rates(rate, steps),
          classWeights,
          images: batch.images,
          labels: batch.labels,
          ...dropoutFactors(network.dropouts, batchSize, createRandom(seed, `${name}/dropout/${steps}`)),
        });
        sum += finiteLoss(outputs.loss?.[0] ?? NaN, name, { epoch, step: done, advice: `lower ${rateField}` });
        progress({ epoch, epochs, step: done, steps: total, loss: sum / done });
        if (done >= total) break;
      }
      return done ? sum / done : 0;
    },
    release: () => step.release(),
  };
}
