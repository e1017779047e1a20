import type { Architecture } from "../../shared/proto/lathe/v1/space";
import { BudgetPolicy } from "../../shared/proto/lathe/v1/spec";
import { group, initialArchitecture } from "../../shared/space/groups";
import { randomSpace, uniform } from "../../shared/testing/spaces";
import { completePolicy, decide } from "../../shared/spec/shrinking";
import { simulate } from "./simulate";

const space = {
  ...randomSpace(uniform(1)),
  stages: [
    { channels: 16, minDepth: 1, maxDepth: 2, widths: [8, 12, 16], dropout: 0 },
    { channels: 32, minDepth: 1, maxDepth: 2, widths: [16, 24, 32], dropout: 0 },
  ],
  dilations: [1, 2],
  scales: [1],
  kinds: [],
};
const extend = completePolicy({ atBudgetEnd: BudgetPolicy.BUDGET_POLICY_EXTEND });

/** A course in which each alpha changes linearly, at its own rate. */
function course(length: number): Architecture[] {
  const random = uniform(7);
  const speeds = initialArchitecture(space).groups.map(({ alphas }) => alphas.map(() => random() - 0.5));
  return Array.from({ length }, (_, epoch) => {
    const architecture = initialArchitecture(space);
    architecture.groups.forEach((entry, index) => {
      entry.alphas = (speeds[index] ?? []).map((speed) => speed * (epoch + 1));
    });
    return architecture;
  });
}

describe("simulate", () => {
  it("decides each epoch as Decide does after each", () => {
    const epochs = course(12);
    const decisions = [...simulate(space, extend, epochs)];
    let live = initialArchitecture(space);
    decisions.forEach((decision, index) => {
      const architecture = {
        groups: live.groups.map((entry) => {
          const { alphas } = group(epochs[index] ?? { groups: [] }, entry.id);
          return { ...entry, alphas: entry.survivors.map((survivor) => alphas[survivor] ?? Number.NaN) };
        }),
      };
      const asked = decide({ space, architecture, policy: extend, epoch: index + 1, epochs: epochs.length });
      expect(decision).toEqual(asked);
      live = asked.architecture;
    });
    const left = decisions.map(({ candidatesLeft }) => candidatesLeft);
    expect(left).toEqual([...left].sort((a, b) => b - a));
    expect(left.at(-1)).toBeLessThan(left[0] ?? 0);
    expect(decisions.every(({ log10Space }, i) => log10Space <= (decisions[i - 1]?.log10Space ?? Infinity))).toBe(true);
  });

  it("decides the rest at the end of the course under ARGMAX", () => {
    const decisions = [...simulate(space, completePolicy(undefined), course(3))];
    expect(decisions.map(({ converged }) => converged)).toEqual([false, false, true]);
  });

  it("names the group whose alphas do not fit", () => {
    const epochs = course(2);
    group(epochs[1] ?? { groups: [] }, "stage2/depth").alphas = [1];
    const refused = (course: Architecture[]) => {
      try {
        return void [...simulate(space, extend, course)];
      } catch (error) {
        return error;
      }
    };
    expect(refused(epochs)).toMatchObject({
      code: "INVALID_ARGUMENT",
      violations: [
        {
          field: 'epochs[1].groups["stage2/depth"]',
          description: "has 1 alphas, must have 2: one per survivor of epochs[0]",
        },
      ],
    });
    expect(refused([])).toMatchObject({
      violations: [{ field: "epochs", description: "is empty, must have at least 1 entry" }],
    });
    expect(refused([{ groups: [] }])).toMatchObject({
      violations: [{ field: 'epochs[0].groups["stage1/depth"]' }, {}],
    });
  });
});
