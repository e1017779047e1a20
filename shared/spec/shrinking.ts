import { LatheError, type FieldViolation } from "../process/errors";
import type { EpochCompleted } from "../proto/lathe/v1/events";
import { RemovalReason, type Removal } from "../proto/lathe/v1/result";
import type { DecideResponse } from "../proto/lathe/v1/shrinking";
import type { Architecture, Group, SearchSpace } from "../proto/lathe/v1/space";
import { BudgetPolicy, HealthPolicy, type ShrinkingSpec } from "../proto/lathe/v1/spec";
import { argmax } from "../space/genotype";
import {
  candidateValue,
  candidatesLeft,
  indexGroups,
  isConverged,
  liveGroups,
  probabilities,
  spaceGroups,
  type SpaceGroup,
} from "../space/groups";
import { log10Size } from "../space/size";
import { refuse, validateArchitecture } from "../space/validate";
import { isOneOf, NUMBERS, numberFault, snakeCase } from "./bounds";
import { presetSpec, type ResolvedSpec } from "./presets";

export type ShrinkingPolicy = ResolvedSpec["shrinking"];

/** Input of the decision after one epoch. */
interface DecideInput {
  space: SearchSpace;
  architecture: Architecture;
  policy: ShrinkingPolicy;
  /** Counted from 1. */
  epoch: number;
  /** Last epoch of the budget, without extra epochs. */
  epochs: number;
}

/** The candidates to remove, and the architecture that remains. */
export interface Decision extends DecideResponse {
  architecture: Architecture;
}

/** A client's policy, completed with the values of preset `paper` and checked; INVALID_ARGUMENT names every fault. */
export function completePolicy(set: ShrinkingSpec | undefined): ShrinkingPolicy {
  const defaults = presetSpec("paper").shrinking;
  const policy: ShrinkingPolicy = {
    threshold: set?.threshold ?? defaults.threshold,
    firstEpoch: set?.firstEpoch ?? defaults.firstEpoch,
    extraEpochs: set?.extraEpochs ?? defaults.extraEpochs,
    atBudgetEnd: set?.atBudgetEnd || defaults.atBudgetEnd,
  };
  const violations: FieldViolation[] = [];
  for (const name of ["threshold", "firstEpoch", "extraEpochs"] as const) {
    const description = numberFault(policy[name], NUMBERS.shrinking[name]);
    if (description !== undefined) violations.push({ field: `policy.${snakeCase(name)}`, description });
  }
  if (!isOneOf(BudgetPolicy, policy.atBudgetEnd))
    violations.push({
      field: "policy.at_budget_end",
      description: `is ${policy.atBudgetEnd}, must be one of argmax, fail, extend`,
    });
  refuse("INVALID_POLICY", "shrinking policy", violations);
  return policy;
}

/**
 * Hierarchical and progressive shrinking after one epoch (docs/method.md#shrinking). From the policy's first epoch on, a survivor with
 * p_i / max p <= threshold leaves its group; at the end of the budget the policy decides the groups that are still undecided. The
 * hierarchy is depth, operation, width: a group whose parent candidate has left leaves with all its candidates (reason PARENT). Survivors
 * keep their alphas. Throws INVALID_ARGUMENT where the architecture is not one of the space, FAILED_PRECONDITION (reason NOT_CONVERGED)
 * under the policy FAIL.
 */
export function decide(input: DecideInput): Decision {
  validateInput(input);
  return decideNext(input);
}

/** The decision on an epoch of a search. It depends on the event alone. Throws what decide throws, and INVALID_ARGUMENT (EVENT_INCOMPLETE). */
export function decideEpoch({
  metrics,
  architecture,
  space,
  policy: set,
  alarms,
}: EpochCompleted): Decision & { epoch: number } {
  if (!metrics || !architecture || !space)
    throw new LatheError("INVALID_ARGUMENT", "epoch.completed lacks its metrics, its architecture or its space", {
      reason: "EVENT_INCOMPLETE",
    });
  const { epoch } = metrics;
  const policy = completePolicy(set);
  // An alarm that stops the training makes this the last epoch, whatever the policy at the end of the budget.
  const stops = alarms.some((alarm) => alarm.policy === HealthPolicy.HEALTH_POLICY_STOP);
  const end = stops
    ? { policy: { ...policy, atBudgetEnd: BudgetPolicy.BUDGET_POLICY_ARGMAX }, epochs: Math.min(epoch, metrics.epochs) }
    : { policy, epochs: metrics.epochs };
  return { ...decide({ space, architecture, epoch, ...end }), epoch };
}

/** Throws INVALID_ARGUMENT where the architecture is not one of the space, or an epoch is none. */
export function validateInput({ space, architecture, epoch, epochs }: DecideInput): void {
  validateArchitecture(space, architecture);
  validateEpochs(epoch, epochs);
}

/** Decides as `decide` does, for an input that is known to be valid. `before` is the decision that left its candidates. */
export function decideNext({ space, architecture, policy, epoch, epochs }: DecideInput, before?: Decision): Decision {
  const removals: Removal[] = [];
  let left = architecture;
  if (epoch >= policy.firstEpoch) {
    const keep = (group: Group): number[] => aboveThreshold(group, policy.threshold);
    left = shrink(space, left, keep, RemovalReason.REMOVAL_REASON_THRESHOLD, removals);
  }
  const extra = policy.atBudgetEnd === BudgetPolicy.BUDGET_POLICY_EXTEND ? policy.extraEpochs : 0;
  if (epoch >= epochs + extra && !isConverged(left)) {
    if (policy.atBudgetEnd === BudgetPolicy.BUDGET_POLICY_FAIL) throw notConverged(left, epochs);
    left = shrink(space, left, (group) => [argmax(group)], RemovalReason.REMOVAL_REASON_BUDGET, removals);
  }
  return {
    removals,
    architecture: left,
    converged: isConverged(left),
    log10Space: before && removals.length === 0 ? before.log10Space : log10Size(space, left),
    candidatesLeft: candidatesLeft(left),
  };
}

function validateEpochs(epoch: number, epochs: number): void {
  const violations = Object.entries({ epoch, epochs })
    .filter(([, value]) => !Number.isInteger(value) || value < 1)
    .map(([field, value]) => ({ field, description: `is ${value}, must be an integer of at least 1` }));
  refuse("INVALID_EPOCH", "request", violations);
}

/** Candidates with p / max p > threshold. The threshold is below 1, so that the largest always stays. */
function aboveThreshold(group: Group, threshold: number): number[] {
  const p = probabilities(group.alphas);
  const max = Math.max(...p);
  return group.survivors.filter((_, index) => (p[index] ?? 0) / max > threshold);
}

/**
 * Keeps the candidates that `keep` names, removes every group whose parent has left, and appends all removals to `removals`.
 * Returns the given architecture where no candidate leaves.
 */
function shrink(
  space: SearchSpace,
  architecture: Architecture,
  keep: (group: Group) => number[],
  reason: RemovalReason,
  removals: Removal[],
): Architecture {
  const kept = new Map(architecture.groups.map((group) => [group.id, only(group, new Set(keep(group)))]));
  if (architecture.groups.every(({ id, survivors }) => kept.get(id)?.survivors.length === survivors.length))
    return architecture;
  const live = new Set(liveGroups(space, kept).map(({ id }) => id));
  const declared = indexGroups({ groups: spaceGroups(space) });
  const before = indexGroups(architecture);
  const groups: Group[] = [];
  for (const group of before.values()) {
    const after = live.has(group.id) ? kept.get(group.id) : undefined;
    if (after !== undefined) groups.push(after);
    const why = after === undefined ? RemovalReason.REMOVAL_REASON_PARENT : reason;
    removals.push(...departed(declared, group, after?.survivors ?? [], why));
  }
  return { groups };
}

function only(group: Group, candidates: ReadonlySet<number>): Group {
  return {
    ...group,
    alphas: group.alphas.filter((_, index) => candidates.has(group.survivors[index] ?? -1)),
    survivors: group.survivors.filter((candidate) => candidates.has(candidate)),
  };
}

function departed(
  declared: ReadonlyMap<string, SpaceGroup>,
  group: Group,
  left: number[],
  reason: RemovalReason,
): Removal[] {
  const p = probabilities(group.alphas);
  const maxProbability = Math.max(...p);
  return group.survivors.flatMap((candidate, index): Removal[] => {
    if (left.includes(candidate)) return [];
    const { id, dimension } = group;
    const value = candidateValue(declared, id, candidate);
    return [{ group: id, dimension, candidate, value, probability: p[index] ?? 0, maxProbability, reason }];
  });
}

/** Number of group ids that a message names; it counts the others. */
const NAMED = 20;

function notConverged(architecture: Architecture, epochs: number): LatheError {
  const undecided = architecture.groups.filter((group) => group.survivors.length > 1);
  const named = undecided.slice(0, NAMED).map((group) => `${group.id} (${group.survivors.length} left)`);
  const more = undecided.length > NAMED ? ` and ${undecided.length - NAMED} more` : "";
  return new LatheError(
    "FAILED_PRECONDITION",
    `${undecided.length} groups are undecided after epoch ${epochs}, the last: ${named.join(", ")}${more}; raise training.epochs or training.alpha_learning_rate, or set shrinking.at_budget_end to argmax or extend`,
    { reason: "NOT_CONVERGED", metadata: { undecided_groups: String(undecided.length), epochs: String(epochs) } },
  );
}
