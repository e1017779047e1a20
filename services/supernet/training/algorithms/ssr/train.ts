import { beginDataset, type Dataset, datasetOptions } from "../../../../../shared/data/open";
import { batches, type BatchOptions } from "../../../../../shared/data/batches";
import type { Engine } from "../../../../../shared/engine/engine";
import { createRandom } from "../../../../../shared/engine/random";
import {
  decodeSupernet,
  encodeSupernet,
  type HealthHistory,
  type TrainingRecord,
  type SupernetState,
} from "../../../../../shared/network/checkpoint";
import { LatheError } from "../../../../../shared/process/errors";
import type { HealthAlarmRaised, SupernetConverged } from "../../../../../shared/proto/lathe/v1/events";
import { DecidedBy, type EpochMetrics } from "../../../../../shared/proto/lathe/v1/result";
import { costOfLargest, expectedCost } from "../../../../../shared/space/cost";
import { dimensionMetrics } from "../../../../../shared/space/groups";
import { searchStride } from "../../../../../shared/space/head";
import { log10Size } from "../../../../../shared/space/size";
import { HealthPolicy } from "../../../../../shared/proto/lathe/v1/spec";
import { requireDecision } from "./decision";
import { guardEpoch } from "./guard";
import { healthy, judge } from "./health";
import { epochHealth, measure } from "./measures";
import type { TrainingPort } from "../../port";
import { batchSizes, type SearchJob } from "../search";
import { awaitedClassWeights } from "../../classWeights";
import { tellOfDataChange } from "../../dataChange";
import { tellOfLabels } from "../../labels";
import { alphaRate, nextCostWeight, polyRate, ssrFactor } from "../../schedule";
import { architectureOf, initialSupernet, shrunk } from "../../supernetState";
import { openSupernetTrainer, type AlphaOutcome, type StepOptions, type SupernetTrainer } from "../../supernetTrainer";

/** Port methods that the training of a supernet calls. */
type SupernetMethod = "storeCheckpoint" | "completeEpoch" | "raise" | "progress" | "compiled" | "signal";
type SupernetPort = Pick<TrainingPort, SupernetMethod>;

/**
 * Trains a supernet for the epochs of its spec (docs/method.md#the-losses, docs/method.md#shrinking). Weight steps and alpha steps
 * alternate, and every epoch ends with a decision, which may remove candidates. Once every group is decided, only weight steps are taken.
 * An alarm with policy stop ends the training early.
 */
export async function trainSupernet(engine: Engine, job: SearchJob, port: SupernetPort): Promise<SupernetConverged> {
  const { spec, space } = job;
  const begun = await beginDataset(datasetOptions(spec, space, batchSizes(spec)));
  const { dataset } = begun;
  let trainer: SupernetTrainer | undefined;
  try {
    const { weighting, counted } = awaitedClassWeights(dataset, space.classes);
    const options = stepOptions(job, weighting);
    const resumed = job.resume && decodeSupernet(space, job.resume.checkpoint, `checkpoint ${job.resume.ref.object}`);
    let state = resumed?.state ?? initialSupernet(space, spec.seed);
    const untrained = { epoch: 0, convergedEpoch: 0, seconds: 0, miou: 0, costWeight: spec.cost.weight };
    let record: TrainingRecord = resumed?.record ?? untrained;
    const firstEpoch = record.epoch + 1;
    let checkpoint = job.resume?.ref;
    let decision = job.resume?.decision;
    let final = state.supernet.architecture;
    for (;;) {
      if (decision) {
        requireDecision(space, architectureOf(state), decision);
        final = decision.architecture ?? architectureOf(state);
        if (decision.converged && record.convergedEpoch === 0 && !decision.byBudget)
          record = { ...record, convergedEpoch: record.epoch };
        const over = record.stopped === true || record.epoch >= spec.training.epochs;
        if (over && decision.converged) break;
        if (decision.architecture) {
          await trainer?.release();
          trainer = undefined;
          state = shrunk(state, decision.architecture);
        }
      }
      const epoch = record.epoch + 1;
      if (!trainer) {
        trainer = await openSupernetTrainer(engine, state, options);
        port.compiled({ epoch, ...trainer.compiled, estimatedBytes: engine.heldBytes?.() ?? 0 });
      }
      await counted;
      if (epoch === 1) await tellOfLabels(dataset, port);
      const completed = await runEpoch(trainer, job, dataset, options, { ...record, epoch }, port);
      const { metrics, alarms, health } = completed;
      metrics.estimatedMemoryBytes = engine.heldBytes?.() ?? 0;
      state = completed.state;
      // Images are decoded while the first epoch runs. The epoch is published only after all of them have been read without a fault.
      await begun.checked;
      if (epoch === firstEpoch) await tellOfDataChange(job.recorded, dataset, { phase: "train", epoch }, port);
      port.signal.throwIfAborted();
      record = {
        ...record,
        epoch,
        seconds: record.seconds + metrics.seconds,
        miou: metrics.validationMiou,
        // An epoch without alpha steps tells nothing of the weight.
        costWeight:
          spec.cost.adapt && movesAlphas(trainer, spec, epoch)
            ? nextCostWeight(record.costWeight, metrics.expectedCostRatio, spec.cost)
            : record.costWeight,
        health,
        stopped: alarms.some(({ policy }) => policy === HealthPolicy.HEALTH_POLICY_STOP),
      };
      checkpoint = await port.storeCheckpoint(encodeSupernet(state, record));
      const architecture = architectureOf(state);
      const read = { dataset: epoch === 1 ? await dataset.figures() : undefined };
      const rules = { policy: spec.shrinking, space };
      decision = await port.completeEpoch({ metrics, architecture, checkpoint, ...rules, alarms, ...read });
    }
    return {
      decidedBy: record.convergedEpoch > 0 ? DecidedBy.DECIDED_BY_SHRINKING : DecidedBy.DECIDED_BY_ARGMAX,
      convergedEpoch: record.convergedEpoch,
      epochs: record.epoch,
      checkpoint,
      architecture: final,
      space,
      validationMiou: record.miou,
      seconds: record.seconds,
      engine: engine.name,
      trainingImages: (state.weights.steps + state.alphas.steps) * spec.training.batchSize,
      stoppedEarly: record.stopped === true && record.epoch < spec.training.epochs,
    };
  } finally {
    await trainer?.release();
    await dataset.close();
  }
}

/** Options with which the steps of a search are compiled. */
export function stepOptions({ spec, space, table }: SearchJob, weighting: Float32Array): StepOptions {
  return {
    seed: spec.seed,
    batchSize: spec.training.batchSize,
    weightDecay: spec.training.weightDecay,
    classWeights: weighting,
    alpha: {
      table,
      largestCost: costOfLargest(space, table),
      target: spec.cost.target,
      ssr: spec.regularization,
      weightDecay: spec.training.alphaWeightDecay,
    },
  };
}

/** A finished epoch: the state at its end, its metrics and alarms, and the health history for the next epoch. */
interface Epoch {
  state: SupernetState;
  metrics: EpochMetrics;
  alarms: HealthAlarmRaised[];
  health: HealthHistory;
}

/** Whether an epoch has alpha steps: behind the warm-up, while a group is open. */
const movesAlphas = ({ alphaStep }: SupernetTrainer, { training }: SearchJob["spec"], epoch: number): boolean =>
  alphaStep !== undefined && epoch > training.warmupEpochs;

async function runEpoch(
  trainer: SupernetTrainer,
  { spec, space, table }: SearchJob,
  dataset: Dataset,
  options: StepOptions,
  { epoch, costWeight, health: before = healthy }: Pick<TrainingRecord, "epoch" | "costWeight" | "health">,
  port: SupernetPort,
): Promise<Epoch> {
  const started = performance.now();
  const { training, regularization } = spec;
  const { epochs, batchSize } = training;
  const steps = Math.floor(dataset.train.length / batchSize);
  const rate = polyRate(training.weightLearningRate, Math.min(epoch, epochs), epochs);
  const alphaStep = movesAlphas(trainer, spec, epoch) ? trainer.alphaStep : undefined;
  const alphaSteps = (epochs - training.warmupEpochs) * steps;
  const alphaLearningRate = alphaRate(training.alphaLearningRate, alphaSteps);
  const order = (kind: string): BatchOptions => ({
    batchSize,
    labelStride: searchStride(space),
    random: createRandom(spec.seed, `epoch/${epoch}/${kind}`),
    augmentation: spec.augmentation,
    dropLast: true,
    reuse: true,
  });
  const alphaBatches = batches(dataset.train, order("alphas"))[Symbol.asyncIterator]();
  const losses: number[] = [];
  const outcomes: AlphaOutcome[] = [];
  const guard = guardEpoch(spec, epoch);
  let factor = regularization.rampFrom;
  for await (const batch of batches(dataset.train, order("weights"))) {
    port.signal.throwIfAborted();
    const { loss, norm } = await trainer.weightStep(batch, rate);
    await endOn(guard.weights({ loss, norm }), port);
    losses.push(loss);
    if (alphaStep) {
      const step = (epoch - 1 - training.warmupEpochs) * steps + outcomes.length;
      factor = ssrFactor(regularization.rampFrom, regularization.rampTo, step, alphaSteps);
      const other = await alphaBatches.next();
      if (other.done) throw new Error(`the alpha batches of epoch ${epoch} ended before its weight batches`);
      const termWeights = { ssrFactor: factor, costWeight };
      const outcome = await alphaStep(other.value, alphaLearningRate, termWeights);
      await endOn(guard.alphas(outcome, termWeights), port);
      outcomes.push(outcome);
    }
    port.progress({ epoch, epochs, step: losses.length, steps, loss: mean(losses) });
  }
  await alphaBatches.return?.();
  const state = trainer.state();
  const parameters = { weights: state.weights.values, stats: state.stats, alphas: state.alphas.values };
  const { classWeights } = options;
  const validation = await trainer.evaluator.evaluate(parameters, dataset.validation, classWeights, port.signal);
  const architecture = architectureOf(state);
  // Computed anew: the alpha step's expectedCost is that before its update, and there may have been no alpha step.
  const cost = expectedCost(space, architecture, table);
  const costRatio = cost / options.alpha.largestCost;
  const dimensions = dimensionMetrics(space, architecture);
  const norms = guard.norms();
  const measures = measure({
    ...{ epoch, epochs, space, architecture, table, dimensions, validation, norms, costRatio },
    classes: dataset.info.classes,
    costTarget: spec.cost.target,
  });
  const { alarms, history } = judge(spec.health, measures, before);
  const metrics: EpochMetrics = {
    epoch,
    epochs,
    weightLoss: mean(losses),
    alphaLoss: mean(outcomes.map((outcome) => outcome.loss)),
    costLoss: mean(outcomes.map((outcome) => outcome.cost)),
    expectedCost: cost,
    expectedCostRatio: costRatio,
    validationMiou: validation.miou,
    miouClasses: validation.miouClasses,
    validationLoss: validation.loss,
    seconds: (performance.now() - started) / 1000,
    log10Space: log10Size(space, architecture),
    dimensions,
    steps: losses.length,
    ssrFactor: factor,
    learningRate: rate,
    peakMemoryBytes: process.resourceUsage().maxRSS * 1024,
    estimatedMemoryBytes: 0,
    costWeight,
    alphaLearningRate,
    health: epochHealth(measures, norms, history),
  };
  return { state, metrics, alarms, health: history };
}

/** Publishes an alarm, if there is one, and ends the epoch with FAILED_PRECONDITION (LOSS_NOT_FINITE). */
async function endOn(alarm: HealthAlarmRaised | undefined, port: Pick<TrainingPort, "raise">): Promise<void> {
  if (!alarm) return;
  await port.raise(alarm);
  throw new LatheError("FAILED_PRECONDITION", alarm.message, { reason: "LOSS_NOT_FINITE" });
}

function mean(values: number[]): number {
  return values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : 0;
}
