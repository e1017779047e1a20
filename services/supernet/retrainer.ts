import { batches } from "../../shared/data/batches";
import type { Dataset } from "../../shared/data/dataset";
import { rates } from "../../shared/engine/adam";
import type { Engine } from "../../shared/engine/engine";
import { createRandom } from "../../shared/engine/random";
import type { DiscreteNetwork } from "../../shared/network/discrete";
import type { NetworkParameters } from "../../shared/network/export";
import { named } from "../../shared/network/layers";
import { LatheError } from "../../shared/process/errors";
import type { ResolvedSpec } from "../../shared/spec/resolve";
import { dropoutFactors } from "./dropout";
import type { StepProgress } from "./progress";
import { advance, doubleBuffer } from "./optimizer";
import { polyRate } from "./schedule";
import { stepSignature, weightStep } from "./steps";

/** Everything that retraining moves: weights, Adam moments, running statistics. */
export interface RetrainingVectors extends NetworkParameters {
  m: Float32Array;
  v: Float32Array;
}

export interface Retrainer {
  /** One epoch over the training split; its mean loss. */
  epoch(dataset: Dataset, epoch: number, port: RetrainerPort): Promise<number>;
  vectors(): RetrainingVectors;
  /** Optimizer steps taken. */
  steps(): number;
  release(): Promise<void>;
}

export interface RetrainerPort {
  progress: (progress: StepProgress) => void;
  signal: AbortSignal;
}

/** The compiled training step of a discrete network, from given vectors that have taken `taken` steps. */
export async function openRetrainer(
  engine: Engine,
  network: DiscreteNetwork,
  spec: ResolvedSpec,
  classWeights: Float32Array,
  start: RetrainingVectors,
  taken: number,
): Promise<Retrainer> {
  const { genotype } = network;
  const { batchSize, learningRate, weightDecay, epochs } = spec.retraining;
  const { size } = network.weights;
  const trainable = {
    ...network,
    logits: (...[weights, inputs, norm]: Parameters<Parameters<typeof weightStep>[0]["logits"]>) =>
      network.logits(weights, named(inputs, "images"), norm, inputs),
  };
  const shape = {
    batchSize,
    height: genotype.inputHeight,
    width: genotype.inputWidth,
    stride: network.stride,
    classes: genotype.classes,
  };
  const vectors = { weights: size, m: size, v: size, stats: network.stats.size };
  const step = await engine.compile(
    weightStep(trainable, weightDecay),
    stepSignature(vectors, { rates: [2] }, shape, network.dropouts),
    "retraining",
  );
  let steps = taken;
  const buffer = doubleBuffer({ ...start });
  return {
    vectors: () => buffer.current as unknown as RetrainingVectors,
    steps: () => steps,
    epoch: async (dataset, epoch, { progress, signal }) => {
      const total = Math.floor(dataset.train.length / batchSize);
      const rate = polyRate(learningRate, epoch, epochs);
      let sum = 0;
      let done = 0;
      const order = {
        batchSize,
        labelStride: network.stride,
        random: createRandom(spec.seed, `retraining/${epoch}`),
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
          ...dropoutFactors(network.dropouts, batchSize, createRandom(spec.seed, `retraining/dropout/${steps}`)),
        });
        const loss = outputs.loss?.[0] ?? NaN;
        if (!Number.isFinite(loss))
          throw new LatheError(
            "FAILED_PRECONDITION",
            `the loss of retraining is ${loss} at epoch ${epoch}, step ${done}: lower retraining.learning_rate`,
            { reason: "LOSS_NOT_FINITE" },
          );
        sum += loss;
        progress({ epoch, epochs, step: done, steps: total, loss: sum / done });
      }
      return done ? sum / done : 0;
    },
    release: () => step.release(),
  };
}
