import type { HealthHistory } from "../../../../../shared/network/checkpoint";
import type { HealthAlarmRaised } from "../../../../../shared/proto/lathe/v1/events";
import { HealthAlarmKind as Kind } from "../../../../../shared/proto/lathe/v1/result";
import { Dimension } from "../../../../../shared/proto/lathe/v1/space";
import { policyOf } from "../../../../../shared/spec/health";
import type { ResolvedSpec } from "../../../../../shared/spec/resolve";
import { enumWord } from "../../../../../shared/spec/bounds";

/** Figures of one epoch that the health rules judge. */
export interface Measures {
  /** Counted from 1, of the budget. */
  epoch: number;
  epochs: number;
  /** On the validation split. */
  miou: number;
  /** The class that most labelled pixels are predicted as: its share of the predictions and of the labels. */
  commonest: { name: string; predicted: number; labelled: number };
  /** Largest of the epoch's steps: of the weights, and of the architecture parameters over the weights of their loss's terms. */
  norms: { weights: number; alphas: number };
  /** Operation and scale with the largest share (shared/space/groups.ts, dominance). */
  operation: { name: string; share: number };
  scale: { name: string; share: number };
  /** Share of the beginning's entropy that each dimension still has (shared/space/groups.ts, openness). */
  dimensions: readonly { dimension: Dimension; open: number }[];
  /** Expected cost, the space's smallest, and the target, as shares of the largest network's. */
  cost: { ratio: number; smallest: number; target: number };
  /** Mean probability of the smallest width over the width groups; 0 where widths are not searched. */
  smallestWidths: number;
  /** Every group had one survivor while the epoch was trained. */
  decided: boolean;
}

/** Before the first epoch. */
export const healthy: HealthHistory = { bestMiou: 0, bestEpoch: 0, decidedMiou: -1, staleEpochs: 0, standing: [] };

type Health = ResolvedSpec["health"];
type Finding = Pick<HealthAlarmRaised, "kind" | "value" | "bound" | "message"> & { dimension?: Dimension };
type Rule = (measures: Measures, history: HealthHistory, health: Health) => Finding[];

/** The target is clearly above what is left where it is so by a tenth of the largest network's cost ... */
const CLEARLY = 0.1;
/** ... and what is left is the floor of the space within a twentieth of the way up to the target, or all but one in a hundred of its widths. */
const FLOOR = 0.05;
const NARROWEST = 0.99;

/** In the order of the kinds, which is that of their events. */
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

/** Best mIoU and patience with one more epoch; `standing` is still that of the epoch before. */
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
 * The alarms that an epoch raises: conditions that hold now and did not after the epoch before. Pure, so that an epoch that is
 * trained again after a crash raises the same. `before` is the history of the epochs before it; the one returned takes it in.
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
    policy: policyOf(health, finding.kind),
  }));
  return {
    alarms: alarms.filter((alarm) => !before.standing.includes(place(alarm))),
    history: { ...history, standing: alarms.map(place) },
  };
}

/** Kinds among standing alarms. */
export function kindsOf(standing: readonly number[]): Kind[] {
  return [...new Set(standing.map((each) => Math.floor(each / 10)))];
}

function place({ kind, dimension }: Pick<HealthAlarmRaised, "kind" | "dimension">): number {
  return 10 * kind + dimension;
}

function gradientNorm({ norms }: Measures, _history: HealthHistory, { maxGradientNorm: bound }: Health): Finding[] {
  const [what, value] = norms.weights >= norms.alphas ? ["weights", norms.weights] : ["architecture", norms.alphas];
  if (value <= bound) return [];
  const message = `the largest gradient norm of the ${what} steps is ${value.toPrecision(4)}, above ${bound}: lower training.${what === "weights" ? "weight" : "alpha"}_learning_rate or look at the data`;
  return [{ kind: Kind.HEALTH_ALARM_KIND_GRADIENT_NORM, value, bound, message }];
}

function trivialPredictor(
  { commonest: { name, predicted, labelled } }: Measures,
  _history: HealthHistory,
  { maxClassShare: bound }: Health,
): Finding[] {
  // Where the labels themselves are that uneven, so is a good prediction.
  if (predicted <= bound || labelled > bound) return [];
  const message = `${percent(predicted)} of the validation pixels are predicted as "${name}", above ${percent(bound)}; ${percent(labelled)} are labelled so: the supernet predicts one class, lower training.weight_learning_rate or look at the labels`;
  return [{ kind: Kind.HEALTH_ALARM_KIND_TRIVIAL_PREDICTOR, value: predicted, bound, message }];
}

function miouDrop(
  { miou }: Measures,
  { bestMiou, bestEpoch }: HealthHistory,
  { maxMiouDrop: bound }: Health,
): Finding[] {
  const value = bestMiou - miou;
  if (value <= bound) return [];
  const message = `the validation mIoU is ${points(miou)}, ${points(value)} points below the best of epoch ${bestEpoch}, above ${points(bound)}: lower training.alpha_learning_rate or raise shrinking.first_epoch`;
  return [{ kind: Kind.HEALTH_ALARM_KIND_MIOU_DROP, value, bound, message }];
}

function operationDominance(
  { operation }: Measures,
  _history: HealthHistory,
  { maxOperationShare }: Health,
): Finding[] {
  return dominated(Kind.HEALTH_ALARM_KIND_OPERATION_DOMINANCE, "operation", operation, maxOperationShare);
}

function scaleDominance({ scale }: Measures, _history: HealthHistory, { maxScaleShare }: Health): Finding[] {
  return dominated(Kind.HEALTH_ALARM_KIND_SCALE_DOMINANCE, "spatial scale", scale, maxScaleShare);
}

function dominated(kind: Kind, what: string, most: { name: string; share: number }, bound: number): Finding[] {
  // 1 is off, also where a sum of probabilities is a rounding above it.
  if (most.share <= bound || bound >= 1) return [];
  const message = `${what} ${most.name} has ${percent(most.share)} of the choices of the blocks, above ${percent(bound)}: lower regularization.operation or cost.weight, or take ${what} ${most.name} for right and raise the bound`;
  return [{ kind, dimension: Dimension.DIMENSION_OPERATION, value: most.share, bound, message }];
}

function lateEntropy(
  { epoch, epochs, dimensions }: Measures,
  _history: HealthHistory,
  { maxLateEntropy: bound }: Health,
): Finding[] {
  if (3 * epoch <= 2 * epochs || bound >= 1) return [];
  return dimensions.flatMap(({ dimension, open: value }) => {
    if (value <= bound) return [];
    const name = enumWord(Dimension, "DIMENSION_", dimension).replace("_", " ");
    const message = `the ${name} groups keep ${percent(value)} of the entropy that they began with at epoch ${epoch} of ${epochs}, above ${percent(bound)}: the search does not decide, raise regularization.ramp_to or training.epochs`;
    return [{ kind: Kind.HEALTH_ALARM_KIND_LATE_ENTROPY, dimension, value, bound, message }];
  });
}

function capacityGone({ cost: { ratio, smallest, target }, smallestWidths }: Measures): Finding[] {
  // Without room between the cheapest network and the target, there is no capacity to lose.
  if (target - smallest <= CLEARLY || target - ratio <= CLEARLY) return [];
  const floor = smallest + FLOOR * (target - smallest);
  const narrow = smallestWidths >= NARROWEST;
  if (ratio > floor && !narrow) return [];
  const [value, bound] = ratio <= floor ? [ratio, floor] : [smallestWidths, NARROWEST];
  const what = ratio <= floor ? "only the cheapest networks are left" : "every block is at its smallest width";
  const message = `${what}: the expected cost is ${percent(ratio)} of the largest network's, the space reaches down to ${percent(smallest)}, the target is ${percent(target)}: lower cost.weight or the regularization of widths and depth`;
  return [{ kind: Kind.HEALTH_ALARM_KIND_CAPACITY_GONE, value, bound, message }];
}

function plateau({ decided }: Measures, history: HealthHistory, { patience: bound }: Health): Finding[] {
  const { staleEpochs: value, decidedMiou } = history;
  if (bound === 0 || !decided || value < bound) return [];
  const message = `every group is decided and the validation mIoU has not been above ${points(decidedMiou)} for ${value} epochs, as many as health.patience allows`;
  return [{ kind: Kind.HEALTH_ALARM_KIND_PLATEAU, value, bound, message }];
}

const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
const points = (miou: number) => (100 * miou).toFixed(1);
