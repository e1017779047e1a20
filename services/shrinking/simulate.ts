import { LatheError } from "../../shared/process/errors";
import type { Architecture, Group, SearchSpace } from "../../shared/proto/lathe/v1/space";
import { indexGroups } from "../../shared/space/groups";
import { decide, type Decision, type ShrinkingPolicy } from "./decide";

/** Longest course that one request may hold. */
const MAX_EPOCHS = 10000;

/**
 * The decision after each epoch of a given course of architecture parameters. `epochs[i]` holds the alphas after epoch i + 1, in each
 * group in the order of its survivors in `epochs[0]`; alphas of candidates that have left are skipped. The budget is the length of the
 * course: under EXTEND, whose extra epochs lie beyond it, undecided groups stay undecided; under FAIL the last decision throws.
 */
export function simulate(space: SearchSpace, policy: ShrinkingPolicy, epochs: Architecture[]): Decision[] {
  const [first] = epochs;
  if (first === undefined || epochs.length > MAX_EPOCHS)
    throw new LatheError(
      "INVALID_ARGUMENT",
      `epochs has ${epochs.length} entries, must have between 1 and ${MAX_EPOCHS}`,
    );
  const start = indexGroups(first);
  let current = first;
  return epochs.map((course, index) => {
    const architecture = moved(current, start, course, index + 1);
    const decision = decide({ space, architecture, policy, epoch: index + 1, epochs: epochs.length });
    current = decision.architecture;
    return decision;
  });
}

/** The surviving candidates with the alphas that the course gives them in this epoch. */
function moved(
  current: Architecture,
  start: ReadonlyMap<string, Group>,
  course: Architecture,
  epoch: number,
): Architecture {
  const given = indexGroups(course);
  return {
    groups: current.groups.map((group) => {
      const alphas = given.get(group.id)?.alphas;
      const order = start.get(group.id)?.survivors ?? [];
      if (alphas?.length !== order.length)
        throw new LatheError(
          "INVALID_ARGUMENT",
          `epochs[${epoch - 1}] has ${alphas?.length ?? 0} alphas for group "${group.id}", must have ${order.length}: one per survivor of epochs[0]`,
        );
      return { ...group, alphas: alphas.filter((_, index) => group.survivors.includes(order[index] ?? -1)) };
    }),
  };
}
