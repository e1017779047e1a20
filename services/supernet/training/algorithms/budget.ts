import { LatheError } from "../../../../shared/process/errors";

/** Cost of an image in a forward pass, as a share of its cost in a training step (forward and backward). */
const FORWARD = 1 / 3;

interface Purse {
  /** training.epochs and training.batch_size of the spec. */
  epochs: number;
  batchSize: number;
  trainExamples: number;
  /** Number of evaluated networks, and images per evaluation. */
  evaluations: number;
  imagesPerEvaluation: number;
  /** Number of trainings. They share the rest of the budget equally. */
  trainings: number;
}

/** How a search spends its budget, in training images. */
export interface Plan {
  /** The budget of ssr and darts in training images: two batches per step pair, over all epochs. */
  budget: number;
  /** Steps and epochs of each training. */
  steps: number;
  epochs: number;
  /** Steps of an epoch, which counts from 1. The last epoch may be shorter. */
  stepsOf(epoch: number): number;
  /** Training images spent by a number of steps and evaluations. */
  spent(steps: number, evaluations: number): number;
}

/**
 * Divides the budget of a search that evaluates whole networks. The budget equals that of one supernet trained by both steps.
 * FAILED_PRECONDITION (BUDGET_TOO_SMALL) if the evaluations leave less than one epoch for each training.
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
