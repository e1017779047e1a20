import type { HealthAlarmRaised } from "../../../../../shared/proto/lathe/v1/events";
import { HealthAlarmKind } from "../../../../../shared/proto/lathe/v1/result";
import { Dimension } from "../../../../../shared/proto/lathe/v1/space";
import { policyOf } from "../../../../../shared/spec/health";
import type { ResolvedSpec } from "../../../../../shared/spec/resolve";
import type { AlphaOutcome, AlphaWeights, WeightOutcome } from "../../supernetTrainer";
import { CROSS_ENTROPY_WEIGHT } from "../../steps";

/** Largest gradient norms of an epoch's steps, before clipping; 0 where no step was taken. */
export interface EpochNorms {
  weights: number;
  alphas: number;
  /** The alpha norm divided by the sum of the weights of its loss's terms. */
  relativeAlphas: number;
}

interface Guard {
  /** Record one step each. They return an alarm if its loss or gradient norm is NaN or infinite; then the epoch must end. */
  weights(outcome: WeightOutcome): HealthAlarmRaised | undefined;
  alphas(outcome: AlphaOutcome, weights: AlphaWeights): HealthAlarmRaised | undefined;
  norms(): EpochNorms;
}

/** Checks the losses and gradient norms of one epoch's steps. */
export function guardEpoch({ health, regularization }: ResolvedSpec, epoch: number): Guard {
  const largest: EpochNorms = { weights: 0, alphas: 0, relativeAlphas: 0 };
  const { operation, outputWidth, middleWidth, depth } = regularization;
  let step = 0;
  const check = ({ loss, norm }: WeightOutcome, what: string): HealthAlarmRaised | undefined => {
    const [name, value] = Number.isFinite(loss) ? ["gradient norm", norm] : ["loss", loss];
    if (Number.isFinite(value)) return undefined;
    return {
      kind: HealthAlarmKind.HEALTH_ALARM_KIND_LOSS_NOT_FINITE,
      dimension: Dimension.DIMENSION_UNSPECIFIED,
      epoch,
      value,
      bound: 0,
      policy: policyOf(health, HealthAlarmKind.HEALTH_ALARM_KIND_LOSS_NOT_FINITE),
      phase: "",
      message: `the ${name} of the ${what} is ${value} at epoch ${epoch}, step ${step}: lower the learning rate or check the data`,
    };
  };
  return {
    weights: (outcome) => {
      step++;
      largest.weights = Math.max(largest.weights, outcome.norm);
      return check(outcome, "weights");
    },
    alphas: (outcome, { ssrFactor, costWeight }) => {
      // |sum w g| <= (sum w) * max |g|. Divided by the sum of w, the norm no longer depends on the weights that a spec gives to the terms.
      const scale = CROSS_ENTROPY_WEIGHT + ssrFactor * (operation + outputWidth + middleWidth + depth) + costWeight;
      largest.alphas = Math.max(largest.alphas, outcome.norm);
      largest.relativeAlphas = Math.max(largest.relativeAlphas, outcome.norm / scale);
      return check(outcome, "architecture parameters");
    },
    norms: () => ({ ...largest }),
  };
}
