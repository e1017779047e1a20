import type { HealthHistory } from "../../../../../shared/network/checkpoint";
import type { HealthAlarmRaised } from "../../../../../shared/proto/lathe/v1/events";
import { HealthAlarmKind as Kind } from "../../../../../shared/proto/lathe/v1/result";
import { Dimension } from "../../../../../shared/proto/lathe/v1/space";
import { policyOf } from "../../../../../shared/spec/health";
import type { ResolvedSpec } from "../../../../../shared/spec/resolve";
import { enumWord } from "../../../../../shared/spec/bounds";

/** Measures of one epoch to which the health rules apply. */
export interface Measures {
  /** Counts from 1; `epochs` is the budget. */
  epoch: number;
  epochs: number;
  /** mIoU on the validation split. */
  miou: number;
  /** The most frequently predicted class, with its share of the predictions and of the labels. */
  commonest: { name: string; predicted: number; labelled: number };
  /** Largest gradient norms of the epoch's steps: of the weights, and of the architecture parameters relative to their loss (EpochNorms). */
  norms: { weights: number; alphas: number };
  /** Operation and scale with the largest share (shared/space/groups.ts, dominance). */
  operation: { name: string; share: number };
  scale: { name: string; share: number };
  /** Entropy of each dimension as a share of its initial entropy (shared/space/groups.ts, openness). */
  dimensions: readonly { dimension: Dimension; open: number }[];
  /** Expected cost, smallest cost of the space, and target, as shares of the largest network's cost. */
  cost: { ratio: number; smallest: number; target: number };
  /** Mean probability of the smallest width over the width groups; 0 if widths are not searched. */
  smallestWidths: number;
  /** Whether every group had one survivor while the epoch was trained. */
  decided: boolean;
}

/** History before the first epoch. */
export const healthy: HealthHistory = { bestMiou: 0, bestEpoch: 0, decidedMiou: -1, staleEpochs: 0, standing: [] };

type Health = ResolvedSpec["health"];
type Finding = Pick<HealthAlarmRaised, "kind" | "value" | "bound" | "message"> & { dimension?: Dimension };
type Rule = (measures: Measures, history: HealthHistory, health: Health) => Finding[];

/**
 * Bounds of the alarm on lost capacity. The target must exceed both the expected and the smallest cost by CLEARLY (a share of the largest
 * network's cost). The expected cost must lie within FLOOR of the way from the smallest cost to the target, or the mean probability of the
 * smallest widths must reach NARROWEST.
 */
const CLEARLY = 0.1;
const FLOOR = 0.05;
const NARROWEST = 0.99;

/** Smallest share of the pixels of all other classes that a supernet predicts as such where one class has nearly all labels. */
const FOUND = 0.1;

/** Updates best mIoU and stale epochs by one epoch. `standing` is not updated here. */
function advance(history: HealthHistory, { epoch, miou, decided }: Measures): HealthHistory {
  const best = history.bestEpoch === 0 || miou > history.bestMiou;
  const better = miou > history.decidedMiou;
  return {
    ...history,
    ...(best && { bestMiou: miou, bestEpoch: epoch }),
    ...(decided && (better ? { decidedMiou: miou, staleEpochs: 0 } : { staleEpochs: history.staleEpochs + 1 })),
  };
}

/**
 * Returns the alarms of an epoch: conditions that hold now but did not hold after the previous epoch. The function is pure, so an epoch
 * that is trained again after a crash raises the same alarms. `before` excludes this epoch, the returned history includes it.
 */
export function judge(
  health: Health,
  measures: Measures,
  before: HealthHistory,
): { alarms: HealthAlarmRaised[]; history: HealthHistory } {
  const { epoch } = measures;
  const history = advance(before, measures);
  const findings = epoch > health.graceEpochs ? RULES.flatMap((rule) => rule(measures, history, health)) : [];
  const alarms = findings.map((finding): HealthAlarmRaised => ({
    dimension: Dimension.DIMENSION_UNSPECIFIED,
    ...finding,
    epoch,
    phase: "",
    policy: policyOf(health, finding.kind),
  }));
  return {
    alarms: alarms.filter((alarm) => !before.standing.includes(place(alarm))),
    history: { ...history, standing: alarms.map(place) },
  };
}

/** The alarm kinds of standing alarms (10 * kind + dimension). */
export function kindsOf(standing: readonly number[]): Kind[] {
  return [...new Set(standing.map((each) => Math.floor(each / 10)))];
}

function place({ kind, dimension }: Pick<HealthAlarmRaised, "kind" | "dimension">): number {
  return 10 * kind + dimension;
}

const gradientNorm: Rule = ({ norms }, _history, { maxGradientNorm: bound }) => {
  const [what, value] = norms.weights >= norms.alphas ? ["weights", norms.weights] : ["architecture", norms.alphas];
  if (value <= bound) return [];
  const message = `the largest gradient norm of the ${what} steps is ${value.toPrecision(4)}, above ${bound}: lower training.${what === "weights" ? "weight" : "alpha"}_learning_rate or look at the data`;
  return [{ kind: Kind.HEALTH_ALARM_KIND_GRADIENT_NORM, value, bound, message }];
};

const trivialPredictor: Rule = ({ commonest }, _history, { maxClassShare: bound }) => {
  const { name, predicted, labelled } = commonest;
  if (predicted <= bound) return [];
  // If the labels themselves are that uneven, a good prediction is too. It still finds some of the rest, unless there is no rest.
  const rest = 1 - labelled;
  if (labelled > bound && rest > 0 && 1 - predicted > rest * FOUND) return [];
  const advice =
    rest > 0
      ? "the supernet predicts one class, lower training.weight_learning_rate or look at the labels"
      : "no network can do otherwise, look at the labels";
  const message = `${percent(predicted)} of the validation pixels are predicted as "${name}", above ${percent(bound)}; ${percent(labelled)} are labelled so: ${advice}`;
  return [{ kind: Kind.HEALTH_ALARM_KIND_TRIVIAL_PREDICTOR, value: predicted, bound, message }];
};

const miouDrop: Rule = ({ miou }, { bestMiou, bestEpoch }, { maxMiouDrop: bound }) => {
  const value = bestMiou - miou;
  if (value <= bound) return [];
  const message = `the validation mIoU is ${points(miou)}, ${points(value)} points below the best of epoch ${bestEpoch}, above ${points(bound)}: lower training.alpha_learning_rate or raise shrinking.first_epoch`;
  return [{ kind: Kind.HEALTH_ALARM_KIND_MIOU_DROP, value, bound, message }];
};

const operationDominance: Rule = ({ operation }, _history, { maxOperationShare }) =>
  dominated(Kind.HEALTH_ALARM_KIND_OPERATION_DOMINANCE, "operation", operation, maxOperationShare);

const scaleDominance: Rule = ({ scale }, _history, { maxScaleShare }) =>
  dominated(Kind.HEALTH_ALARM_KIND_SCALE_DOMINANCE, "spatial scale", scale, maxScaleShare);

function dominated(kind: Kind, what: string, most: { name: string; share: number }, bound: number): Finding[] {
  // A bound of 1 is off, even if rounding makes a share exceed 1.
  if (most.share <= bound || bound >= 1) return [];
  const message = `${what} ${most.name} has ${percent(most.share)} of the choices of the blocks, above ${percent(bound)}: lower regularization.operation or cost.weight, or take ${what} ${most.name} for right and raise the bound`;
  return [{ kind, dimension: Dimension.DIMENSION_OPERATION, value: most.share, bound, message }];
}

const lateEntropy: Rule = ({ epoch, epochs, dimensions }, _history, { maxLateEntropy: bound }) => {
  if (3 * epoch <= 2 * epochs || bound >= 1) return [];
  return dimensions.flatMap(({ dimension, open: value }) => {
    if (value <= bound) return [];
    const name = enumWord(Dimension, "DIMENSION_", dimension).replace("_", " ");
    const message = `the ${name} groups keep ${percent(value)} of the entropy that they began with at epoch ${epoch} of ${epochs}, above ${percent(bound)}: the search does not decide, raise regularization.ramp_to or training.epochs`;
    return [{ kind: Kind.HEALTH_ALARM_KIND_LATE_ENTROPY, dimension, value, bound, message }];
  });
};

const capacityGone: Rule = ({ cost: { ratio, smallest, target }, smallestWidths }) => {
  // If the target is hardly above the cheapest network, there is no capacity to lose.
  if (target - smallest <= CLEARLY || target - ratio <= CLEARLY) return [];
  const floor = smallest + FLOOR * (target - smallest);
  const narrow = smallestWidths >= NARROWEST;
  if (ratio > floor && !narrow) return [];
  const [value, bound] = ratio <= floor ? [ratio, floor] : [smallestWidths, NARROWEST];
  const what = ratio <= floor ? "only the cheapest networks are left" : "every block is at its smallest width";
  const message = `${what}: the expected cost is ${percent(ratio)} of the largest network's, the space reaches down to ${percent(smallest)}, the target is ${percent(target)}: lower cost.weight or the regularization of widths and depth`;
  return [{ kind: Kind.HEALTH_ALARM_KIND_CAPACITY_GONE, value, bound, message }];
};

const plateau: Rule = ({ decided }, { staleEpochs: value, decidedMiou }, { patience: bound }) => {
  if (bound === 0 || !decided || value < bound) return [];
  const message = `every group is decided and the validation mIoU has not been above ${points(decidedMiou)} for ${value} epochs, as many as health.patience allows`;
  return [{ kind: Kind.HEALTH_ALARM_KIND_PLATEAU, value, bound, message }];
};

/** In the order of the alarm kinds, in which an epoch's alarms are published. */
const RULES: readonly Rule[] = [
  gradientNorm,
  trivialPredictor,
  miouDrop,
  operationDominance,
  scaleDominance,
  lateEntropy,
  capacityGone,
  plateau,
];

const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
const points = (miou: number) => (100 * miou).toFixed(1);
