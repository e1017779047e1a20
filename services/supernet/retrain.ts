import { batches, classFrequencies } from "../../shared/data/batches";
import { openDataset, type Dataset } from "../../shared/data/dataset";
import { rates } from "../../shared/engine/adam";
import type { Arrays, Engine } from "../../shared/engine/engine";
import { createRandom } from "../../shared/engine/random";
import type { Scores } from "../../shared/evaluation/confusion";
import { discreteEvaluator, type Evaluator } from "../../shared/evaluation/evaluate";
import { decodeBundle, encodeBundle } from "../../shared/network/bundle";
import { buildDiscrete, type DiscreteNetwork } from "../../shared/network/discrete";
import { copyShared } from "../../shared/network/inherit";
import { initialStats, initialWeights } from "../../shared/network/initialise";
import { LatheError } from "../../shared/process/errors";
import type { NetworkTrained, RetrainingEpochCompleted } from "../../shared/proto/lathe/v1/events";
import type { ArtifactRef } from "../../shared/proto/lathe/v1/result";
import type { Genotype } from "../../shared/proto/lathe/v1/space";
import { networkFigures } from "../../shared/space/cost";
import { datasetOptions } from "../../shared/data/fromSpec";
import type { ResolvedSpec } from "../../shared/spec/resolve";
import { dropoutFactors } from "./dropout";
import { advance, doubleBuffer, type DoubleBuffer } from "./optimizer";
import { storeNetwork } from "./products";
import { classWeights, polyRate } from "./schedule";
import { stepSignature, weightStep } from "./steps";

export interface RetrainJob {
  spec: ResolvedSpec;
  genotype: Genotype;
  /** Weights and statistics of the discrete network inherited from the supernet. */
  inherited: Uint8Array;
  /** Newest checkpoint of an earlier run. */
  resume?: { checkpoint: Uint8Array };
}

/** What retraining asks of the outside. */
export interface RetrainingPort {
  store(kind: string, bytes: Uint8Array, mediaType: string): Promise<ArtifactRef>;
  completeEpoch(event: RetrainingEpochCompleted): Promise<void>;
  progress(progress: { epoch: number; epochs: number; step: number; steps: number; loss: number }): void;
  signal: AbortSignal;
}

interface Header {
  epoch: number;
  steps: number;
  bestMiou: number;
  bestEpoch: number;
  seconds: number;
}

/**
 * Trains the network of a genotype with the aggregation head (method.md section 5): Adam, poly rate, flips and shifts of 2 pixels,
 * class-weighted cross entropy at the input's size; the weights of the best validation mIoU are kept and exported.
 */
export async function retrain(engine: Engine, job: RetrainJob, port: RetrainingPort): Promise<NetworkTrained> {
  const { spec, genotype } = job;
  const { retraining } = spec;
  const network = buildDiscrete(genotype, {
    kind: "aggregation",
    pyramidChannels: retraining.pyramidChannels,
    dropout: retraining.dropout,
  });
  const dataset = await openDataset(datasetOptions(spec, genotype));
  const weighting = classWeights(await classFrequencies(dataset.train, genotype.classes));
  const evaluator = await discreteEvaluator(engine, network, retraining.batchSize);
  const trainer = await openTrainer(engine, network, job, weighting);
  try {
    let best = trainer.parameters();
    let header: Header = { epoch: 0, steps: 0, bestMiou: -1, bestEpoch: 0, seconds: 0 };
    if (job.resume) {
      const { header: found, arrays } = decodeBundle<Header>(job.resume.checkpoint, "retraining checkpoint");
      header = found;
      best = trainer.restore(arrays, found.steps);
    }
    while (header.epoch < retraining.epochs) {
      const started = performance.now();
      const epoch = header.epoch + 1;
      const loss = await trainer.epoch(dataset, epoch, port);
      const { miou } = await evaluator.evaluate(trainer.parameters(), dataset.validation, weighting, port.signal);
      const seconds = (performance.now() - started) / 1000;
      header = { ...header, epoch, steps: trainer.steps(), seconds: header.seconds + seconds };
      if (miou > header.bestMiou) {
        header = { ...header, bestMiou: miou, bestEpoch: epoch };
        best = copy(trainer.parameters());
      }
      const bytes = encodeBundle({ header, arrays: { ...trainer.vectors(), ...renamed(best) } });
      const checkpoint = await port.store("retraining-checkpoint", bytes, "application/octet-stream");
      await port.completeEpoch({
        epoch,
        epochs: retraining.epochs,
        loss,
        validationMiou: miou,
        bestMiou: header.bestMiou,
        seconds,
        checkpoint,
      });
    }
    const outcome = await evaluator.evaluate(best, dataset.validation, weighting, port.signal);
    return {
      validationMiou: outcome.miou,
      bestEpoch: header.bestEpoch,
      figures: networkFigures(genotype, { kind: "aggregation", pyramidChannels: retraining.pyramidChannels }),
      ...(await storeNetwork(network, best, dataset, port)),
      classScores: classScores(dataset, outcome),
      seconds: header.seconds,
    };
  } finally {
    await trainer.release();
    await evaluator.release();
    await dataset.close();
  }
}

interface Parameters_ {
  weights: Float32Array;
  stats: Float32Array;
}

async function openTrainer(engine: Engine, network: DiscreteNetwork, job: RetrainJob, weighting: Float32Array) {
  const { spec, genotype } = job;
  const { batchSize, learningRate, weightDecay, epochs } = spec.retraining;
  const { size } = network.weights;
  const step = await engine.compile(
    weightStep(
      { ...network, logits: (weights, inputs, norm) => network.logits(weights, inputs.images as never, norm, inputs) },
      weightDecay,
    ),
    stepSignature(
      { weights: size, m: size, v: size, stats: network.stats.size },
      { rates: [2] },
      {
        batchSize,
        height: genotype.inputHeight,
        width: genotype.inputWidth,
        stride: network.stride,
        classes: genotype.classes,
      },
      network.dropouts,
    ),
    "retraining",
  );
  let steps = 0;
  const buffer: DoubleBuffer = doubleBuffer({
    ...firstParameters(network, job),
    m: new Float32Array(size),
    v: new Float32Array(size),
  });
  const parameters = (): Parameters_ & Arrays => ({
    weights: buffer.current.weights as Float32Array,
    stats: buffer.current.stats as Float32Array,
  });
  return {
    parameters,
    steps: () => steps,
    vectors: () => buffer.current as Record<string, Float32Array>,
    restore: (arrays: Record<string, Float32Array>, taken: number): Parameters_ & Arrays => {
      steps = taken;
      for (const name of ["weights", "m", "v", "stats"]) (buffer.current[name] as Float32Array).set(arrays[name] ?? []);
      return { weights: arrays.bestWeights ?? parameters().weights, stats: arrays.bestStats ?? parameters().stats };
    },
    epoch: async (dataset: Dataset, epoch: number, port: RetrainingPort): Promise<number> => {
      const total = Math.floor(dataset.train.length / batchSize);
      const rate = polyRate(learningRate, epoch, epochs);
      let sum = 0;
      let taken = 0;
      const order = {
        batchSize,
        labelStride: network.stride,
        random: createRandom(spec.seed, `retraining/${epoch}`),
        augment: { flip: true, translate: 2 },
        dropLast: true,
      };
      for await (const batch of batches(dataset.train, order)) {
        port.signal.throwIfAborted();
        steps++;
        taken++;
        const random = createRandom(spec.seed, `retraining/dropout/${steps}`);
        const outputs = await advance(step, buffer, {
          rates: rates(learningRate === 0 ? 0 : rate, steps),
          classWeights: weighting,
          images: batch.images,
          labels: batch.labels,
          ...dropoutFactors(network.dropouts, batchSize, random),
        });
        const loss = outputs.loss?.[0] ?? NaN;
        if (!Number.isFinite(loss))
          throw new LatheError(
            "FAILED_PRECONDITION",
            `the loss of retraining is ${loss} at epoch ${epoch}, step ${taken}: lower retraining.learning_rate`,
            { reason: "LOSS_NOT_FINITE" },
          );
        sum += loss;
        port.progress({ epoch, epochs, step: taken, steps: total, loss: sum / taken });
      }
      return taken ? sum / taken : 0;
    },
    release: () => step.release(),
  };
}

/** From scratch, or with the body inherited from the supernet and a new head. */
function firstParameters(network: DiscreteNetwork, { spec, genotype, inherited }: RetrainJob): Parameters_ {
  const weights = initialWeights(network.weights, createRandom(spec.seed, "retraining/weights"));
  const stats = initialStats(network.stats);
  if (spec.retraining.inheritWeights) {
    const { arrays } = decodeBundle(inherited, "inherited weights");
    const source = buildDiscrete(genotype, { kind: "search" });
    copyShared(arrays.weights ?? new Float32Array(), source.weights, weights, network.weights);
    copyShared(arrays.stats ?? new Float32Array(), source.stats, stats, network.stats);
  }
  return { weights, stats };
}

function copy(parameters: Parameters_): Parameters_ & Arrays {
  return { weights: parameters.weights.slice(), stats: parameters.stats.slice() };
}

function renamed(best: Arrays): Record<string, Float32Array> {
  return { bestWeights: best.weights as Float32Array, bestStats: best.stats as Float32Array };
}

function classScores(dataset: Dataset, { classes }: Scores): NetworkTrained["classScores"] {
  return classes.map(({ iou, occurs }, index) => ({ name: dataset.info.classes[index] ?? String(index), iou, occurs }));
}
export type { Evaluator };
