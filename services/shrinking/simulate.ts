import type { Architecture, Group, SearchSpace } from "../../shared/proto/lathe/v1/space";
import { indexGroups } from "../../shared/space/groups";
import { refusal, validateArchitecture } from "../../shared/space/validate";
import { decideNext, type Decision, type ShrinkingPolicy } from "../../shared/spec/shrinking";

/**
 * Yields the decision after each epoch of a given course of architecture parameters. `epochs[i]` holds the alphas after epoch i + 1, in each
 * group in the order of its survivors in `epochs[0]`; alphas of candidates that have left are skipped. The budget is the length of the
 * course: under EXTEND, whose extra epochs lie beyond it, undecided groups stay undecided; under FAIL the last decision throws.
 * INVALID_ARGUMENT where an epoch is not one of the course.
 */
export function* simulate(
  space: SearchSpace,
  policy: ShrinkingPolicy,
  epochs: readonly Architecture[],
): Generator<Decision, void, undefined> {
  const [first] = epochs;
  if (first === undefined) throw invalid("epochs", "is empty, must have at least 1 entry");
  validateArchitecture(space, first, "epochs[0]");
  const start = indexGroups(first);
  let before: Decision | undefined;
  for (const [index, course] of epochs.entries()) {
    const architecture = before ? moved(before.architecture, start, course, index) : first;
    before = decideNext({ space, architecture, policy, epoch: index + 1, epochs: epochs.length }, before);
    yield before;
  }
}

/** The surviving candidates with the alphas that entry `index` of the course gives them. */
function moved(
  current: Architecture,
  start: ReadonlyMap<string, Group>,
  course: Architecture,
  index: number,
): Architecture {
  const given = indexGroups(course);
  return {
    groups: current.groups.map((group) => {
      const alphas = given.get(group.id)?.alphas ?? [];
      const order = start.get(group.id)?.survivors ?? [];
      if (alphas.length !== order.length)
        throw invalid(
          `epochs[${index}].groups["${group.id}"]`,
          `has ${alphas.length} alphas, must have ${order.length}: one per survivor of epochs[0]`,
        );
      return { ...group, alphas: alphas.filter((_, at) => group.survivors.includes(order[at] ?? -1)) };
    }),
  };
}

const invalid = (field: string, description: string) =>
  refusal("INVALID_SCHEDULE", "request", [{ field, description }]);
