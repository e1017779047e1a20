import type { Dataset } from "../../../../../shared/data/open";
import type { Engine } from "../../../../../shared/engine/engine";
import { createRandom } from "../../../../../shared/engine/random";
import { pathAlphas } from "../../../../../shared/network/alphas";
import {
  decodeSupernet,
  encodeSupernet,
  type TrainingRecord,
  type SupernetState,
} from "../../../../../shared/network/checkpoint";
import type { DeclaredSupernet } from "../../../../../shared/network/supernet";
import { searchStride } from "../../../../../shared/space/head";
import { randomGenotype } from "../../../../../shared/space/sampling";
import type { TrainingPort } from "../../port";
import { formulate } from "../../formulation";
import { polyRate } from "../../schedule";
import { tellOfDataChange } from "../../dataChange";
import { trainableSupernet } from "../../steps";
import { initialSupernet } from "../../supernetState";
import { type SearchJob } from "../search";
import { openWeightTrainer, type Subject } from "../../weightTrainer";
import type { Plan } from "../budget";

/**
 * Trains the whole supernet of a space by single paths (Guo et al., 2020): each weight step trains one network that is drawn uniformly,
 * by means of one-hot architecture parameters. The running statistics mix all networks, so each network must be recalibrated.
 */
export async function trainSinglePaths(
  engine: Engine,
  job: SearchJob,
  dataset: Dataset,
  { plan, weighting }: { plan: Plan; weighting: Float32Array },
  port: TrainingPort,
): Promise<{ state: SupernetState; seconds: number }> {
  const { spec, space, sampled } = job;
  const { weightLearningRate } = spec.training;
  const { epochs } = plan;
  const from = sampled?.checkpoint && decodeSupernet(space, sampled.checkpoint, "checkpoint of an evolution");
  let state = from?.state ?? initialSupernet(space, spec.seed);
  let record: TrainingRecord = from?.record ?? { epoch: 0, convergedEpoch: 0, seconds: 0, miou: 0, costWeight: 0 };
  await tellOfDataChange(job.recorded, dataset, { phase: "train", epoch: record.epoch + 1 }, port);
  if (record.epoch >= epochs) return { state, seconds: record.seconds };
  const { supernet, weights, stats } = state;
  const course = {
    name: "evolution",
    what: "the supernet",
    batchStream: (epoch: number) => `evolution/${epoch}/batches`,
    rateField: "training.weight_learning_rate",
    seed: spec.seed,
    ...spec.training,
    epochs,
    learningRate: weightLearningRate,
    augmentation: spec.augmentation,
  };
  const start = { weights: weights.values, m: weights.m, v: weights.v, stats };
  const subject = singlePaths(engine, supernet, spec.seed, spec.training.batchSize);
  const trainer = await openWeightTrainer(engine, subject, course, weighting, start, weights.steps);
  try {
    while (record.epoch < epochs) {
      const started = performance.now();
      const epoch = record.epoch + 1;
      const loss = await trainer.epoch(dataset, epoch, port, plan.stepsOf(epoch));
      const { weights: values, m, v, stats: moved } = trainer.vectors();
      state = { ...state, weights: { values, m, v, steps: trainer.steps() }, stats: moved };
      const seconds = (performance.now() - started) / 1000;
      record = { ...record, epoch, seconds: record.seconds + seconds };
      const checkpoint = await port.storeCheckpoint(encodeSupernet(state, record));
      const learningRate = polyRate(weightLearningRate, epoch, epochs);
      const read = { dataset: epoch === 1 ? await dataset.figures() : undefined };
      await port.completeSamplingEpoch({
        epoch,
        epochs,
        candidate: 0,
        loss,
        learningRate,
        seconds,
        checkpoint,
        ...read,
      });
    }
    return { state, seconds: record.seconds };
  } finally {
    await trainer.release();
  }
}

/** A supernet for the weight trainer. Each step trains one network, drawn from the random stream of its epoch. */
function singlePaths(engine: Engine, supernet: DeclaredSupernet, seed: number, batchSize: number): Subject {
  const { space, alphas } = supernet;
  const { inputHeight: height, inputWidth: width, classes } = space;
  const formulation = formulate(engine, supernet, batchSize);
  return {
    formulation: { ...formulation, network: trainableSupernet(formulation.network) },
    shape: { height, width, stride: searchStride(space), classes },
    vectors: { alphas: alphas.size },
    choices: (epoch) => {
      const paths = createRandom(seed, `evolution/${epoch}/paths`);
      return () => ({ alphas: pathAlphas(supernet, randomGenotype(space, paths)) });
    },
  };
}
