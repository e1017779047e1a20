import { openDataset, datasetOptions } from "../../../../../shared/data/open";
import { createRandom } from "../../../../../shared/engine/random";
import { recalibrationBatches, recalibrationImages } from "../../../../../shared/evaluation/recalibration";
import type { Genotype } from "../../../../../shared/proto/lathe/v1/space";
import { searchStride } from "../../../../../shared/space/head";
import { costWindow } from "../../../../../shared/space/sampling";
import { countedClassWeights } from "../../classWeights";
import { tellOfLabels } from "../../labels";
import { batchSizes, type Candidate, type Search } from "../search";
import { bestOf } from "../best";
import { propose } from "./aging";
import { planBudget } from "../budget";
import { evaluateCandidate } from "../candidates";
import { inherit } from "./inherited";
import { deriveSelected } from "../selection";
import { trainSinglePaths } from "./singlePath";

/**
 * Evolution: trains a supernet by single paths. Then aging evolution proposes sampling.evaluations networks of the cost window, which are
 * evaluated with inherited weights and recalibrated statistics. The best by validation mIoU is chosen.
 */
export const searchByEvolution: Search = async (engine, job, port) => {
  const { spec, space, table, sampled } = job;
  const { seed, sampling } = spec;
  const { batchSize, epochs } = spec.training;
  const window = costWindow(space, table, { target: spec.cost.target, tolerance: sampling.costTolerance });
  const dataset = await openDataset(datasetOptions(spec, space, batchSizes(spec)));
  try {
    const trainExamples = dataset.train.length;
    const plan = planBudget({
      epochs,
      batchSize,
      trainExamples,
      trainings: 1,
      evaluations: sampling.evaluations,
      imagesPerEvaluation: dataset.validation.length + recalibrationImages(trainExamples, batchSize),
    });
    const weighting = await countedClassWeights(dataset, space.classes);
    if (!sampled?.checkpoint) await tellOfLabels(dataset, port);
    const trained = await trainSinglePaths(engine, job, dataset, { plan, weighting }, port);
    const labelStride = searchStride(space);
    const calibration = await recalibrationBatches(dataset.train, { seed, batchSize, labelStride });
    const inherited = (genotype: Genotype) => inherit(engine, trained.state, genotype, calibration, port.signal);

    const context = { engine, dataset, window, port, weighting, batchSize, candidates: sampling.evaluations };
    // Candidates by index. A resumed search continues behind those that an earlier run published.
    const past: Candidate[] = [...(sampled?.evaluated ?? [])];
    while (past.length < sampling.evaluations) {
      port.signal.throwIfAborted();
      const started = performance.now();
      const index = past.length + 1;
      const { genotype, parent } = propose(past, sampling, window, createRandom(seed, `evolution/network/${index}`));
      past.push(await evaluateCandidate(context, { ...(await inherited(genotype)), index, parent, started }));
    }
    const best = past[bestOf(past)];
    if (!best) throw new Error(`none of ${sampling.evaluations} networks was evaluated`);
    const selection = {
      candidates: past.length,
      trainingImages: plan.spent(plan.steps, past.length),
      seconds: past.reduce((sum, { seconds }) => sum + seconds, trained.seconds),
      engine: engine.name,
    };
    const choice = {
      ...(await inherited(best.genotype)),
      miou: best.validationMiou,
      miouClasses: best.miouClasses,
      selection,
    };
    return { type: "architecture.derived", data: await deriveSelected(choice, window, dataset.info, port) };
  } finally {
    await dataset.close();
  }
};
