import { LatheError } from "../../../shared/process/errors";

/** Poly learning rate of an epoch counted from 1: base * (1 - (epoch - 1) / epochs)^0.9 (docs/method.md#the-weight-step). */
export function polyRate(base: number, epoch: number, epochs: number): number {
  return base * Math.max(0, 1 - (epoch - 1) / epochs) ** 0.9;
}

/** Factor of the learning rate at a step counted from 1: linear to 1 at step `rising`, which may be a fraction, and 1 from there on. */
export function warmup(step: number, rising: number): number {
  return Math.min(1, step / Math.max(1, rising));
}

/** SSR factor at an alpha step counted from 0: linear from `from` at the first step of the budget to `to` at the last. */
export function ssrFactor(from: number, to: number, step: number, steps: number): number {
  return from + (to - from) * Math.min(1, steps > 1 ? step / (steps - 1) : 1);
}

/**
 * Learning rate * number of alpha steps. Adam moves an architecture parameter by about the rate in each step, and groups decide once
 * their parameters have moved by 70 to 100 (docs/method.md#small-budgets). So the rate follows from the number of steps.
 */
const ALPHA_TRAVEL = 90;
/** A higher rate would let a handful of batches decide a group. */
const MAX_ALPHA_RATE = 0.5;

/** Learning rate of the architecture parameters: the one that the spec sets; if that is 0, ALPHA_TRAVEL / steps, at most 0.5. */
export function alphaRate(asked: number, steps: number): number {
  return asked > 0 ? asked : Math.min(MAX_ALPHA_RATE, ALPHA_TRAVEL / steps);
}

/** Factors of the cost weight per epoch: growth outside of the band, decay within half of it. */
const GROWTH = 1.5;
const DECAY = 1 / 1.2;
const MAX_COST_WEIGHT = 1e6;

/**
 * Weight of the cost term for the next epoch (after FasterSeg). It grows while the expected cost misses the target by more than
 * band * target, and decays, at most to the weight in the spec, while the cost misses it by less than half of that.
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

/** Returns the loss if it is finite; else throws FAILED_PRECONDITION (LOSS_NOT_FINITE) with `what`, epoch, step and `advice`. */
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

/** Whether an epoch of a retraining is evaluated. The first one is, so that there is always a best network to keep. */
export const isEvaluated = (
  epoch: number,
  { epochs, validateEvery }: { epochs: number; validateEvery: number },
): boolean => epoch === 1 || epoch === epochs || epoch % validateEvery === 0;
