import { LatheError } from "../../../../shared/process/errors";

/** An image that goes forward only costs a third of one that goes forward and backward. */
const FORWARD = 1 / 3;

interface Purse {
  /** training.epochs and training.batch_size of the spec. */
  epochs: number;
  batchSize: number;
  trainExamples: number;
  /** Networks that are evaluated, and the images that each is shown for it. */
  evaluations: number;
  imagesPerEvaluation: number;
  /** Trainings that share what is left, equally. */
  trainings: number;
}

/** How a budget is spent, in training images. */
export interface Plan {
  /** The budget of ssr and darts in training images: two batches per step pair, over all epochs. */
  budget: number;
  /** Steps of each training, and the epochs over which they go. */
  steps: number;
  epochs: number;
  /** Steps of an epoch counted from 1: the last one may be short. */
  stepsOf(epoch: number): number;
  /** Training images spent by a number of steps and evaluations. */
  spent(steps: number, evaluations: number): number;
}

/**
 * The budget of a search that evaluates whole networks, equal to that of one supernet with its two steps. FAILED_PRECONDITION
 * (BUDGET_TOO_SMALL) where evaluations leave less than an epoch for each training.
 */
export function planBudget(purse: Purse): Plan {
  const { epochs, batchSize, trainExamples, evaluations, imagesPerEvaluation, trainings } = purse;
  const perEpoch = Math.floor(trainExamples / batchSize);
  const budget = 2 * epochs * perEpoch * batchSize;
  const spent = (steps: number, evaluated: number) => steps * batchSize + evaluated * imagesPerEvaluation * FORWARD;
  const steps = Math.floor((budget - spent(0, evaluations)) / (trainings * batchSize));
  if (steps < perEpoch)
    throw new LatheError(
      "FAILED_PRECONDITION",
      `the budget of ${budget} training images leaves ${Math.max(0, steps)} steps for each of ${trainings} trainings after ${evaluations} evaluations, at least ${perEpoch} are needed: raise training.epochs or evaluate fewer networks (section sampling)`,
      { reason: "BUDGET_TOO_SMALL" },
    );
  return {
    budget,
    steps,
    epochs: Math.ceil(steps / perEpoch),
    stepsOf: (epoch) => Math.min(perEpoch, steps - (epoch - 1) * perEpoch),
    spent,
  };
}
