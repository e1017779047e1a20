import { LatheError } from "../../../shared/process/errors";

/** Poly learning rate of an epoch counted from 1: base * (1 - (epoch - 1) / epochs)^0.9 (docs/method.md#the-weight-step). */
export function polyRate(base: number, epoch: number, epochs: number): number {
  return base * Math.max(0, 1 - (epoch - 1) / epochs) ** 0.9;
}

/** SSR factor at an alpha step counted from 0: from `from` at the first to `to` at the last step of the budget, linearly. */
export function ssrFactor(from: number, to: number, step: number, steps: number): number {
  return from + (to - from) * Math.min(1, steps > 1 ? step / (steps - 1) : 1);
}

/**
 * How far architecture parameters travel in a search: rate * steps. Adam moves them by about the rate a step, and they decide within
 * 70 to 100 whatever the number of steps (docs/method.md#small-budgets), so the rate of a budget follows from its steps.
 */
const ALPHA_TRAVEL = 90;
/** Beyond it a group would be decided by a handful of batches. */
const MAX_ALPHA_RATE = 0.5;

/** Learning rate of the architecture parameters: as asked, or where 0 is asked what the number of alpha steps wants. */
export function alphaRate(asked: number, steps: number): number {
  return asked > 0 ? asked : Math.min(MAX_ALPHA_RATE, ALPHA_TRAVEL / steps);
}

/** Growth of the cost weight per epoch outside the band, and decay within half of it. */
const GROWTH = 1.5;
const DECAY = 1 / 1.2;
const MAX_COST_WEIGHT = 1e6;

/**
 * Weight of the cost term for the next epoch (FasterSeg's idea): raised while the expected cost misses the target by more than the
 * band, a share of the target; lowered, never below the weight asked for, while it is well within.
 */
export function nextCostWeight(
  weight: number,
  ratio: number,
  cost: { target: number; weight: number; band: number },
): number {
  const miss = Math.abs(ratio - cost.target) / cost.target;
  if (miss > cost.band) return Math.min(MAX_COST_WEIGHT, weight * GROWTH);
  return miss < cost.band / 2 ? Math.max(cost.weight, weight * DECAY) : weight;
}

/** A loss that is a number; FAILED_PRECONDITION (LOSS_NOT_FINITE) says of what, where, and what to do. */
export function finiteLoss(
  value: number,
  what: string,
  { epoch, step, advice }: { epoch: number; step: number; advice: string },
): number {
  if (Number.isFinite(value)) return value;
  throw new LatheError(
    "FAILED_PRECONDITION",
    `the loss of ${what} is ${value} at epoch ${epoch}, step ${step}: ${advice}`,
    { reason: "LOSS_NOT_FINITE" },
  );
}
