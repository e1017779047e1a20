import { beginDataset, datasetOptions } from "../../../shared/data/open";
import type { Engine } from "../../../shared/engine/engine";
import { createRandom } from "../../../shared/engine/random";
import { discreteScorer } from "../../../shared/evaluation/evaluate";
import { decodeBundle } from "../../../shared/network/bundle";
import { buildDiscrete, type DiscreteNetwork } from "../../../shared/network/discrete";
import type { NetworkParameters } from "../../../shared/network/export";
import { copyShared } from "../../../shared/network/inherit";
import { initialStats, initialWeights } from "../../../shared/network/initialise";
import {
  decodeTraining,
  encodeTraining,
  type RetrainingRecord,
  type TrainingVectors,
} from "../../../shared/network/training";
import { LatheError } from "../../../shared/process/errors";
import type { NetworkTrained } from "../../../shared/proto/lathe/v1/events";
import type { DatasetFigures } from "../../../shared/proto/lathe/v1/result";
import type { Genotype } from "../../../shared/proto/lathe/v1/space";
import { searchedHead } from "../../../shared/space/head";
import { networkCosts } from "../../../shared/space/networkCosts";
import type { ResolvedSpec } from "../../../shared/spec/resolve";
import type { TrainingPort } from "./port";
import { storeConfusion, storeNetwork } from "./products";
import { awaitedClassWeights } from "./classWeights";
import { copied } from "./ema";
import { tellOfDataChange } from "./dataChange";
import { tellOfLabels } from "./labels";
import { isEvaluated } from "./schedule";
import { networkSubject, openWeightTrainer, untrained } from "./weightTrainer";

export interface RetrainJob {
  spec: ResolvedSpec;
  genotype: Genotype;
  /** Bundle of weights and statistics inherited from the supernet; absent if the genotype was given. */
  inherited?: Uint8Array;
  /** Newest checkpoint of an earlier run. */
  checkpoint?: Uint8Array;
  /** The data of the search's first epoch; absent before its end. */
  recorded?: DatasetFigures;
}

/** Port methods that retraining calls. */
type RetrainingMethod = "raise" | "storeCheckpoint" | "completeRetrainingEpoch" | "store" | "progress" | "signal";
type RetrainingPort = Pick<TrainingPort, RetrainingMethod>;

/**
 * Trains the network of a genotype with the aggregation head (docs/method.md#after-the-search): Adam, poly rate, augmentation, class-weighted cross entropy at the input's size. Of the epochs that are evaluated, the weights of the best one by validation mIoU are kept and exported.
 */
export async function retrain(engine: Engine, job: RetrainJob, port: RetrainingPort): Promise<NetworkTrained> {
  const { spec, genotype } = job;
  const { epochs, batchSize, pyramidChannels, dropout } = spec.retraining;
  const network = buildDiscrete(genotype, { kind: "aggregation", pyramidChannels, dropout });
  const begun = await beginDataset(
    datasetOptions(spec, genotype, { "retraining.batch_size": spec.retraining.batchSize }),
  );
  const { dataset } = begun;
  const opened: { release(): Promise<void> }[] = [];
  try {
    const { weighting, counted } = awaitedClassWeights(dataset, genotype.classes);
    const scorer = await discreteScorer(engine, network, batchSize);
    opened.push(scorer);
    let { record, vectors, best } = job.checkpoint ? resumed(job.checkpoint) : beginning(network, job);
    const course = {
      name: "retraining",
      what: "retraining",
      batchStream: (epoch: number) => `retraining/${epoch}`,
      rateField: "retraining.learning_rate",
      seed: spec.seed,
      ...spec.retraining,
      augmentation: spec.augmentation,
    };
    const subject = networkSubject(engine, network, batchSize);
    const trainer = await openWeightTrainer(engine, subject, course, weighting, vectors, record.steps);
    opened.push(trainer);
    await counted;
    // A search has told of them before its own first epoch.
    if (!job.inherited && record.epoch === 0) await tellOfLabels(dataset, port);
    const firstEpoch = record.epoch + 1;
    while (record.epoch < epochs) {
      const started = performance.now();
      const epoch = record.epoch + 1;
      const loss = await trainer.epoch(dataset, epoch, port);
      vectors = trainer.vectors();
      const parameters = trainer.parameters();
      const evaluated = isEvaluated(epoch, spec.retraining)
        ? await scorer.score({ ...parameters }, dataset.validation, port.signal)
        : undefined;
      const seconds = (performance.now() - started) / 1000;
      // Images are decoded while the first epoch runs. The epoch is published only after all of them have been read without a fault.
      await begun.checked;
      if (epoch === firstEpoch) await tellOfDataChange(job.recorded, dataset, { phase: "retrain", epoch }, port);
      port.signal.throwIfAborted();
      record = { ...record, epoch, steps: trainer.steps(), seconds: record.seconds + seconds };
      if (evaluated && evaluated.miou > record.bestMiou) {
        record = { ...record, bestMiou: evaluated.miou, bestEpoch: epoch };
        best = copied(parameters);
      }
      const checkpoint = await port.storeCheckpoint(encodeTraining(record, vectors, best));
      const scores = {
        validationMiou: evaluated?.miou,
        miouClasses: evaluated?.miouClasses ?? 0,
        bestMiou: record.bestMiou,
      };
      const read = { dataset: epoch === 1 ? await dataset.figures() : undefined };
      await port.completeRetrainingEpoch({ epoch, epochs, loss, ...scores, seconds, checkpoint, ...read });
    }
    const { miou, classes, counts } = await scorer.score({ ...best }, dataset.validation, port.signal);
    return {
      validationMiou: miou,
      bestEpoch: record.bestEpoch,
      figures: networkCosts(genotype, { kind: "aggregation", pyramidChannels }),
      ...(await storeNetwork(network, best, dataset, miou, port)),
      confusion: await storeConfusion(counts, dataset.info, port),
      classScores: classes.map((score, index) => ({ name: dataset.info.classes[index] ?? String(index), ...score })),
      seconds: record.seconds,
      engine: engine.name,
    };
  } finally {
    for (const each of opened) await each.release();
    await dataset.close();
  }
}

interface Start {
  record: RetrainingRecord;
  vectors: TrainingVectors;
  best: NetworkParameters;
}

/**
 * Start of a training: random weights. With inherit_weights all come from the supernet, those of the head only where the search had the same.
 */
function beginning(network: DiscreteNetwork, { spec, genotype, inherited }: RetrainJob): Start {
  const weights = initialWeights(network.weights, createRandom(spec.seed, "retraining/weights"));
  const start = { weights, stats: initialStats(network.stats) };
  if (spec.retraining.inheritWeights) {
    if (!inherited)
      throw new LatheError(
        "INVALID_ARGUMENT",
        "retraining.inherit_weights is true, but there are no inherited weights",
      );
    const { arrays } = decodeBundle(inherited, "inherited weights");
    const source = buildDiscrete(genotype, searchedHead(genotype));
    for (const role of ["weights", "stats"] as const) {
      const from = arrays[role];
      const { size } = source[role];
      if (from?.length !== size)
        throw new LatheError(
          "INVALID_ARGUMENT",
          `inherited weights hold ${from?.length ?? 0} values of "${role}", their network has ${size}`,
          { reason: "BUNDLE_CORRUPT" },
        );
      copyShared(from, source[role], start[role], network[role]);
    }
  }
  return {
    record: { epoch: 0, steps: 0, bestMiou: -1, bestEpoch: 0, seconds: 0 },
    vectors: untrained(start),
    best: start,
  };
}

function resumed(bytes: Uint8Array): Start {
  const { header, vectors, best } = decodeTraining<RetrainingRecord>(bytes, "retraining checkpoint");
  return { record: header, vectors, best };
}
