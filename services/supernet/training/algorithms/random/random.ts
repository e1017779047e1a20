import { dataChange } from "../../../../../shared/data/change";
import { beginDataset, datasetOptions } from "../../../../../shared/data/open";
import { createRandom } from "../../../../../shared/engine/random";
import { buildDiscrete, type DiscreteNetwork } from "../../../../../shared/network/discrete";
import { initialStats, initialWeights } from "../../../../../shared/network/initialise";
import {
  decodeTraining,
  encodeTraining,
  type RandomRecord,
  type TrainingVectors,
} from "../../../../../shared/network/training";
import { LatheError } from "../../../../../shared/process/errors";
import type { Genotype } from "../../../../../shared/proto/lathe/v1/space";
import { searchedHead } from "../../../../../shared/space/head";
import { costWindow, keyOf, type CostWindow } from "../../../../../shared/space/sampling";
import type { ResolvedSpec } from "../../../../../shared/spec/resolve";
import type { TrainingPort } from "../../port";
import { polyRate } from "../../schedule";
import { countedClassWeights } from "../../classWeights";
import { tellOfChange, tellOfDataChange } from "../../dataChange";
import { tellOfLabels } from "../../labels";
import { batchSizes, type Search, type SearchJob } from "../search";
import { networkSubject, openWeightTrainer, untrained } from "../../weightTrainer";
import { bestOf } from "../best";
import { planBudget, type Plan } from "../budget";
import { evaluateCandidate, type EvaluationContext } from "../candidates";
import { deriveSelected } from "../selection";

/** Progress of the training of a network, as a checkpoint holds it. */
interface Standing extends RandomRecord {
  /** Absent before the first epoch. */
  vectors?: TrainingVectors;
}

/** Context shared by all parts of a random search. */
interface Context extends EvaluationContext {
  job: SearchJob;
  port: TrainingPort;
  plan: Plan;
}

/**
 * Random search: draws sampling.candidates networks from the cost window and trains each from scratch with an equal share of the budget
 * (weight steps only, a poly schedule of its own, the hyperparameters of section training). Each network is a job of its own, so several
 * workers share them. A last job chooses the best by validation mIoU.
 */
export const searchAtRandom: Search = async (engine, job, port) => {
  const { spec, space, table, candidate = 0 } = job;
  const { candidates, costTolerance } = spec.sampling;
  const { epochs, batchSize } = spec.training;
  const window = costWindow(space, table, { target: spec.cost.target, tolerance: costTolerance });
  const networks = drawGenotypes(window, spec).map((genotype) => buildDiscrete(genotype, searchedHead(space)));
  const { dataset, checked } = await beginDataset(datasetOptions(spec, space, batchSizes(spec)));
  try {
    // A choice reads no image.
    if (candidate > 0) await checked;
    const plan = planBudget({
      epochs,
      batchSize,
      trainExamples: dataset.train.length,
      trainings: candidates,
      evaluations: candidates,
      imagesPerEvaluation: dataset.validation.length,
    });
    if (candidate === 0) {
      const { index, standing, miou, miouClasses, seconds } = theBest(job);
      const [first, ...others] = job.sampled?.datasets ?? [];
      const changes = others.flatMap((read) => dataChange(first, read, dataset) ?? []);
      if (changes[0] && !job.toldOfData)
        await tellOfChange(changes[0], { phase: "train", epoch: candidates * plan.epochs }, port);
      const network = networkOf(networks, index);
      const trainingImages = plan.spent(candidates * plan.steps, candidates);
      const selection = { candidates, trainingImages, seconds, engine: engine.name };
      const choice = { network, parameters: standing.vectors, miou, miouClasses, selection };
      return { type: "architecture.derived", data: await deriveSelected(choice, window, dataset.info, port) };
    }
    const weighting = await countedClassWeights(dataset, space.classes);
    const standing = resumed(job) ?? { candidate, epoch: 0, steps: 0, seconds: 0 };
    const before = (candidate - 1) * plan.epochs;
    if (candidate === 1 && standing.epoch === 0) await tellOfLabels(dataset, port);
    const recorded = job.toldOfData ? undefined : job.recorded;
    await tellOfDataChange(recorded, dataset, { phase: "train", epoch: before + standing.epoch + 1 }, port);
    const context = { engine, job, port, window, dataset, weighting, plan, batchSize, candidates };
    const network = networkOf(networks, candidate);
    const { vectors: parameters } = await train(context, network, standing);
    const contender = { network, parameters, index: candidate, parent: 0, started: performance.now() };
    await evaluateCandidate(context, contender);
    return undefined;
  } finally {
    await dataset.close();
  }
};

function networkOf(networks: readonly DiscreteNetwork[], index: number): DiscreteNetwork {
  const network = networks[index - 1];
  if (!network) throw new LatheError("INVALID_ARGUMENT", `network ${index} is not one of the ${networks.length} drawn`);
  return network;
}

/** The best network, with its last checkpoint. FAILED_PRECONDITION where a network is not evaluated. */
function theBest({ spec, sampled }: SearchJob) {
  const { candidates } = spec.sampling;
  const { evaluated = [], checkpoint, seconds: trained = 0 } = sampled ?? {};
  const best = evaluated[bestOf(evaluated)];
  if (!best || !checkpoint || evaluated.length < candidates)
    throw new LatheError(
      "FAILED_PRECONDITION",
      `${evaluated.length} of ${candidates} networks are evaluated; start the search again`,
    );
  const standing = decoded(checkpoint);
  const seconds = evaluated.reduce((sum, each) => sum + each.seconds, trained);
  const { index, validationMiou: miou, miouClasses } = best;
  return { index, standing, miou, miouClasses, seconds };
}

/** Draws the networks of a search. A resumed search draws the same ones. Duplicates occur only if the window seems to hold no others. */
function drawGenotypes(window: CostWindow, { sampling, seed }: ResolvedSpec): Genotype[] {
  const drawn = new Map<string, Genotype>();
  const random = createRandom(seed, "random/genotypes");
  const all: Genotype[] = [];
  for (let at = 0; all.length < sampling.candidates; at++) {
    const genotype = window.draw(random);
    if (drawn.has(keyOf(genotype)) && at < 20 * sampling.candidates) continue;
    drawn.set(keyOf(genotype), genotype);
    all.push(genotype);
  }
  return all;
}

/** Trains a network to the end of its share of the budget. Each epoch ends with a checkpoint and an event. */
async function train(
  { engine, job, port, dataset, weighting, plan }: Context,
  network: DiscreteNetwork,
  standing: Standing,
): Promise<Standing & { vectors: TrainingVectors }> {
  const { spec } = job;
  const { candidate, vectors = beginning(network, spec, candidate) } = standing;
  if (standing.epoch >= plan.epochs) return { ...standing, vectors };
  const learningRate = spec.training.weightLearningRate;
  const course = {
    name: `random/${candidate}`,
    what: `random/${candidate}`,
    batchStream: (epoch: number) => `random/${candidate}/${epoch}`,
    rateField: "training.weight_learning_rate",
    seed: spec.seed,
    ...spec.training,
    epochs: plan.epochs,
    learningRate,
    augmentation: spec.augmentation,
  };
  const subject = networkSubject(engine, network, spec.training.batchSize);
  const trainer = await openWeightTrainer(engine, subject, course, weighting, vectors, standing.steps);
  // Epochs in events count over the trainings of all candidates.
  const total = plan.epochs * spec.sampling.candidates;
  const before = (candidate - 1) * plan.epochs;
  const progress: TrainingPort["progress"] = (step) =>
    port.progress({ ...step, epoch: before + step.epoch, epochs: total });
  try {
    let now = { ...standing, vectors };
    while (now.epoch < plan.epochs) {
      const started = performance.now();
      const epoch = now.epoch + 1;
      const loss = await trainer.epoch(dataset, epoch, { progress, signal: port.signal }, plan.stepsOf(epoch));
      const seconds = (performance.now() - started) / 1000;
      now = { ...now, epoch, steps: trainer.steps(), seconds: now.seconds + seconds, vectors: trainer.vectors() };
      const { vectors: moved, ...record } = now;
      const checkpoint = await port.storeCheckpoint(encodeTraining(record, moved));
      const rate = { learningRate: polyRate(learningRate, epoch, plan.epochs) };
      const done = { epoch: before + epoch, epochs: total };
      // Networks that begin at once do not know of each other's data: the choice compares it.
      const isFirst = epoch === 1 && job.recorded === undefined;
      const read = { dataset: isFirst ? await dataset.figures() : undefined };
      await port.completeSamplingEpoch({ ...done, candidate, loss, seconds, checkpoint, ...rate, ...read });
    }
    return now;
  } finally {
    await trainer.release();
  }
}

function beginning(network: DiscreteNetwork, { seed }: ResolvedSpec, candidate: number): TrainingVectors {
  const weights = initialWeights(network.weights, createRandom(seed, `random/${candidate}/weights`));
  return untrained({ weights, stats: initialStats(network.stats) });
}

function resumed({ sampled }: SearchJob): Standing | undefined {
  return sampled?.checkpoint && decoded(sampled.checkpoint);
}

function decoded(checkpoint: Uint8Array): Standing & { vectors: TrainingVectors } {
  const { header, vectors } = decodeTraining<RandomRecord>(checkpoint, "checkpoint of a random search");
  return { ...header, vectors };
}
