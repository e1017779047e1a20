import { openDataset, datasetOptions } from "../../../../../shared/data/open";
import { createRandom } from "../../../../../shared/engine/random";
import { buildDiscrete, type DiscreteNetwork } from "../../../../../shared/network/discrete";
import type { NetworkParameters } from "../../../../../shared/network/export";
import { initialStats, initialWeights } from "../../../../../shared/network/initialise";
import {
  decodeTraining,
  encodeTraining,
  type RandomRecord,
  type TrainingVectors,
} from "../../../../../shared/network/training";
import type { Genotype } from "../../../../../shared/proto/lathe/v1/space";
import { costWindow, keyOf, type CostWindow } from "../../../../../shared/space/sampling";
import type { ResolvedSpec } from "../../../../../shared/spec/resolve";
import type { TrainingPort } from "../../port";
import { polyRate } from "../../schedule";
import { countedClassWeights } from "../../classWeights";
import { tellOfDataChange } from "../../dataChange";
import { tellOfLabels } from "../../labels";
import { batchSizes, type Search, type SearchJob } from "../search";
import { networkSubject, openWeightTrainer, untrained } from "../../weightTrainer";
import { planBudget, type Plan } from "../budget";
import { evaluateCandidate, type EvaluationContext } from "../candidates";
import { deriveSelected } from "../selection";

/** Progress of a random search, as a checkpoint holds it. */
interface Standing extends Omit<RandomRecord, "best"> {
  /** Absent before the network's first epoch. */
  vectors?: TrainingVectors;
  /** The best of the networks evaluated before. */
  best?: NetworkParameters & { candidate: number; miou: number };
}

/** Context shared by all parts of a random search. */
interface Context extends EvaluationContext {
  job: SearchJob;
  port: TrainingPort;
  plan: Plan;
}

/**
 * Random search: draws sampling.candidates networks from the cost window and trains each from scratch with an equal share of the budget
 * (weight steps only, a poly schedule of its own, the hyperparameters of section training). The best by validation mIoU is chosen.
 */
export const searchAtRandom: Search = async (engine, job, port) => {
  const { spec, space, table } = job;
  const { candidates, costTolerance } = spec.sampling;
  const { epochs, batchSize } = spec.training;
  const window = costWindow(space, table, { target: spec.cost.target, tolerance: costTolerance });
  const networks = drawGenotypes(window, spec).map((genotype) => buildDiscrete(genotype, { kind: "search" }));
  const known = new Map(job.sampled?.evaluated.map((candidate) => [candidate.index, candidate]));
  const dataset = await openDataset(datasetOptions(spec, space, batchSizes(spec)));
  try {
    const plan = planBudget({
      epochs,
      batchSize,
      trainExamples: dataset.train.length,
      trainings: candidates,
      evaluations: candidates,
      imagesPerEvaluation: dataset.validation.length,
    });
    const weighting = await countedClassWeights(dataset, space.classes);
    if (!job.sampled?.checkpoint) await tellOfLabels(dataset, port);
    const context = { engine, job, port, window, dataset, weighting, plan, batchSize, candidates };
    // The classes of the mIoU are those of the labels, so they are the same for every network.
    let miouClasses = job.sampled?.evaluated.at(-1)?.miouClasses ?? 0;
    let standing = resumed(job) ?? { candidate: 1, epoch: 0, steps: 0, seconds: 0 };
    const underWay = { phase: "train" as const, epoch: (standing.candidate - 1) * plan.epochs + standing.epoch + 1 };
    await tellOfDataChange(job.recorded, dataset, underWay, port);
    for (const network of networks.slice(standing.candidate - 1)) {
      const trained = await train(context, network, standing);
      const { candidate: index, vectors: parameters } = trained;
      const evaluated =
        known.get(index) ??
        (await evaluateCandidate(context, { network, parameters, index, parent: 0, started: performance.now() }));
      const seconds = trained.seconds + evaluated.seconds;
      miouClasses = evaluated.miouClasses;
      const best = better(trained, evaluated.validationMiou);
      standing = { candidate: index + 1, epoch: 0, steps: 0, seconds, best };
    }
    const { best, seconds } = standing;
    const network = networks[(best?.candidate ?? 0) - 1];
    if (!best || !network) throw new Error(`none of ${candidates} networks was trained`);
    const trainingImages = plan.spent(candidates * plan.steps, candidates);
    const selection = { candidates, trainingImages, seconds, engine: engine.name };
    const choice = { network, parameters: best, miou: best.miou, miouClasses, selection };
    return { type: "architecture.derived", data: await deriveSelected(choice, window, dataset.info, port) };
  } finally {
    await dataset.close();
  }
};

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
      const checkpoint = await port.storeCheckpoint(checkpointBytes(now));
      const rate = { learningRate: polyRate(learningRate, epoch, plan.epochs) };
      const done = { epoch: before + epoch, epochs: total };
      const read = { dataset: done.epoch === 1 ? await dataset.figures() : undefined };
      await port.completeSamplingEpoch({ ...done, candidate, loss, seconds, checkpoint, ...rate, ...read });
    }
    return now;
  } finally {
    await trainer.release();
  }
}

/** The best network including the one just evaluated; the first among equals. */
function better({ best, candidate, vectors }: Standing, miou: number): NonNullable<Standing["best"]> {
  if (best && best.miou >= miou) return best;
  const { weights = new Float32Array(), stats = new Float32Array() } = vectors ?? {};
  return { candidate, miou, weights: weights.slice(), stats: stats.slice() };
}

function beginning(network: DiscreteNetwork, { seed }: ResolvedSpec, candidate: number): TrainingVectors {
  const weights = initialWeights(network.weights, createRandom(seed, `random/${candidate}/weights`));
  return untrained({ weights, stats: initialStats(network.stats) });
}

function checkpointBytes({ vectors, best, ...position }: Standing & { vectors: TrainingVectors }): Uint8Array {
  const header: RandomRecord = { ...position, ...(best && { best: { candidate: best.candidate, miou: best.miou } }) };
  return encodeTraining(header, vectors, best);
}

function resumed({ sampled }: SearchJob): Standing | undefined {
  if (!sampled?.checkpoint) return undefined;
  const {
    header,
    vectors,
    best: kept,
  } = decodeTraining<RandomRecord>(sampled.checkpoint, "checkpoint of a random search");
  const { best, ...position } = header;
  return { ...position, vectors, ...(best && { best: { ...best, ...kept } }) };
}
