import { LatheError } from "../process/errors";
import { RemovalReason } from "../proto/lathe/v1/result";
import { BudgetPolicy } from "../proto/lathe/v1/spec";
import { candidatesLeft, group, indexGroups, initialArchitecture, probabilities } from "../space/groups";
import { validateArchitecture } from "../space/validate";
import { randomArchitecture, randomSpace, uniform } from "../testing/spaces";
import { completePolicy, decide } from "./shrinking";

const policy = completePolicy(undefined);
const space = {
  ...randomSpace(uniform(1)),
  stages: [
    { channels: 16, minDepth: 1, maxDepth: 3, widths: [8, 12, 16], dropout: 0 },
    { channels: 32, minDepth: 1, maxDepth: 2, widths: [16, 24, 32], dropout: 0 },
  ],
  dilations: [1, 2],
  scales: [1, 2],
  kinds: [],
};

function thrown(run: () => unknown): LatheError {
  try {
    run();
  } catch (error) {
    return LatheError.from(error);
  }
  throw new Error("nothing was thrown");
}

describe("decide, by threshold", () => {
  it("removes a candidate at the threshold and keeps one above it", () => {
    const architecture = initialArchitecture(space);
    // sigmoid(0) = 1/2; sigmoid(-log 19) = 1/20, exactly a tenth of it up to rounding.
    const tenth = -Math.log(19);
    group(architecture, "stage1/block1/d1s1/output").alphas = [0, tenth - 1e-9, tenth + 1e-9];
    const { removals, architecture: left } = decide({ space, architecture, policy, epoch: 1, epochs: 9 });
    expect(removals).toHaveLength(1);
    expect(removals[0]).toMatchObject({
      group: "stage1/block1/d1s1/output",
      candidate: 1,
      value: "12",
      reason: RemovalReason.REMOVAL_REASON_THRESHOLD,
    });
    expect(removals[0]?.probability).toBeCloseTo(0.05 / 0.6, 8);
    expect(removals[0]?.maxProbability).toBeCloseTo(0.5 / 0.6, 8);
    expect(group(left, "stage1/block1/d1s1/output")).toMatchObject({ survivors: [0, 2], alphas: [0, tenth + 1e-9] });
  });

  it("removes a candidate whose share equals the threshold", () => {
    const architecture = initialArchitecture(space);
    group(architecture, "stage2/depth").alphas = [0, -1];
    const [first = 0, second = 0] = probabilities([0, -1]);
    const exact = { ...policy, threshold: second / first };
    const { removals } = decide({ space, architecture, policy: exact, epoch: 1, epochs: 9 });
    expect(removals[0]).toMatchObject({ group: "stage2/depth", candidate: 1 });
  });

  it("waits for the first epoch", () => {
    const architecture = initialArchitecture(space);
    group(architecture, "stage1/depth").alphas = [9, -9, -9];
    const late = { ...policy, firstEpoch: 3 };
    expect(decide({ space, architecture, policy: late, epoch: 2, epochs: 9 }).removals).toEqual([]);
    expect(decide({ space, architecture, policy: late, epoch: 3, epochs: 9 }).removals.length).toBeGreaterThan(0);
  });

  it("removes the blocks that no surviving depth reaches, with all their groups", () => {
    const architecture = initialArchitecture(space);
    group(architecture, "stage1/depth").alphas = [0, 0, -9];
    const { removals, architecture: left } = decide({ space, architecture, policy, epoch: 1, epochs: 9 });
    const parents = removals.filter(({ reason }) => reason === RemovalReason.REMOVAL_REASON_PARENT);
    // Block 3: its operation group of 4 and 8 width groups of 3.
    expect(parents).toHaveLength(4 + 8 * 3);
    expect(parents.every((removal) => removal.group.startsWith("stage1/block3/"))).toBe(true);
    expect(left.groups.some(({ id }) => id.startsWith("stage1/block3/"))).toBe(false);
    expect(left.groups.some(({ id }) => id.startsWith("stage1/block2/"))).toBe(true);
  });

  it("keeps a block that only a deeper exit reaches when a shallower one leaves", () => {
    const architecture = initialArchitecture(space);
    group(architecture, "stage1/depth").alphas = [-9, -9, 0];
    const { removals, converged } = decide({ space, architecture, policy, epoch: 1, epochs: 9 });
    expect(removals.map(({ value }) => value)).toEqual(["1", "2"]);
    expect(converged).toBe(false);
  });

  it("removes the two width groups of a removed operation", () => {
    const architecture = initialArchitecture(space);
    group(architecture, "stage2/block1/operation").alphas = [0, -9, 0, 0];
    const { removals } = decide({ space, architecture, policy, epoch: 1, epochs: 9 });
    expect([...new Set(removals.map((removal) => removal.group))]).toEqual([
      "stage2/block1/operation",
      "stage2/block1/d2s1/output",
      "stage2/block1/d2s1/middle",
    ]);
    expect(removals).toHaveLength(1 + 6);
  });
});

describe("decide, over random spaces and alphas", () => {
  const seeds = Array.from({ length: 150 }, (_, index) => index + 1);

  it("leaves whole architectures, carries alphas over and accounts for every candidate", () => {
    for (const seed of seeds) {
      const random = uniform(seed);
      const any = randomSpace(random);
      const architecture = randomArchitecture(any, random, { spread: 6 });
      const untouched = structuredClone(architecture);
      const decision = decide({ space: any, architecture, policy, epoch: 1, epochs: 9 });
      expect(architecture).toEqual(untouched);
      // No orphans, no gaps, no empty group.
      expect(() => validateArchitecture(any, decision.architecture)).not.toThrow();
      expect(decision.candidatesLeft + decision.removals.length).toBe(candidatesLeft(architecture));
      expect(decision.candidatesLeft).toBe(candidatesLeft(decision.architecture));
      expect(decision.converged).toBe(decision.architecture.groups.every(({ survivors }) => survivors.length === 1));
      if (decision.converged) expect(decision.log10Space).toBeCloseTo(0, 12);
      const before = indexGroups(architecture);
      for (const after of decision.architecture.groups) {
        const origin = group(before, after.id);
        const p = probabilities(origin.alphas);
        const max = Math.max(...p);
        origin.survivors.forEach((survivor, index) => {
          const position = after.survivors.indexOf(survivor);
          expect(position >= 0).toBe((p[index] ?? 0) / max > policy.threshold);
          if (position >= 0) expect(after.alphas[position]).toBe(origin.alphas[index]);
        });
      }
    }
  });

  it("removes nothing from its own result", () => {
    for (const seed of seeds) {
      const random = uniform(seed);
      const any = randomSpace(random);
      const first = decide({
        space: any,
        architecture: randomArchitecture(any, random, { spread: 6 }),
        policy,
        epoch: 1,
        epochs: 9,
      });
      const again = decide({ space: any, architecture: first.architecture, policy, epoch: 2, epochs: 9 });
      expect(again.removals).toEqual([]);
      expect(again.architecture).toEqual(first.architecture);
    }
  });

  it("converges at the budget's end, argmax deciding what the threshold did not", () => {
    for (const seed of seeds) {
      const random = uniform(seed);
      const any = randomSpace(random);
      const architecture = randomArchitecture(any, random);
      const decision = decide({ space: any, architecture, policy, epoch: 9, epochs: 9 });
      expect(decision.converged).toBe(true);
      expect(() => validateArchitecture(any, decision.architecture)).not.toThrow();
      expect(decision.candidatesLeft + decision.removals.length).toBe(candidatesLeft(architecture));
      for (const { group: id, alphas } of decision.architecture.groups.map((entry) => ({ ...entry, group: entry.id })))
        expect(alphas[0]).toBe(Math.max(...group(architecture, id).alphas));
      // A candidate leaves once.
      expect(new Set(decision.removals.map((removal) => `${removal.group}#${removal.candidate}`)).size).toBe(
        decision.removals.length,
      );
    }
  });
});

describe("decide, at the budget's end", () => {
  const architecture = initialArchitecture(space);

  it("marks the removals by argmax; ties go to the lowest index", () => {
    const { removals, architecture: left } = decide({ space, architecture, policy, epoch: 9, epochs: 9 });
    expect(group(left, "stage1/depth").survivors).toEqual([0]);
    expect(removals.find((removal) => removal.group === "stage1/depth")?.reason).toBe(
      RemovalReason.REMOVAL_REASON_BUDGET,
    );
    expect(removals.find((removal) => removal.group === "stage1/block2/operation")?.reason).toBe(
      RemovalReason.REMOVAL_REASON_PARENT,
    );
  });

  it("fails with the names of undecided groups under FAIL, and succeeds where there are none", () => {
    const fail = { ...policy, atBudgetEnd: BudgetPolicy.BUDGET_POLICY_FAIL };
    const error = thrown(() => decide({ space, architecture, policy: fail, epoch: 9, epochs: 9 }));
    expect(error).toMatchObject({ code: "FAILED_PRECONDITION", reason: "NOT_CONVERGED" });
    expect(error.message).toContain("stage1/depth (3 left)");
    expect(error.message).toMatch(/and \d+ more; raise training\.epochs or .+ to argmax or extend$/);
    expect(decide({ space, architecture, policy: fail, epoch: 8, epochs: 9 }).removals).toEqual([]);
    const decided = decide({ space, architecture, policy, epoch: 9, epochs: 9 }).architecture;
    expect(decide({ space, architecture: decided, policy: fail, epoch: 9, epochs: 9 }).converged).toBe(true);
  });

  it("continues for the extra epochs under EXTEND, then decides by argmax", () => {
    const extend = { ...policy, atBudgetEnd: BudgetPolicy.BUDGET_POLICY_EXTEND, extraEpochs: 4 };
    for (const epoch of [9, 12])
      expect(decide({ space, architecture, policy: extend, epoch, epochs: 9 }).removals).toEqual([]);
    expect(decide({ space, architecture, policy: extend, epoch: 13, epochs: 9 }).converged).toBe(true);
  });
});

describe("decide, on bad input", () => {
  it("names the field of a wrong architecture, epoch or policy", () => {
    const other = initialArchitecture({ ...space, dilations: [1] });
    const error = thrown(() => decide({ space, architecture: other, policy, epoch: 1, epochs: 9 }));
    expect(error.code).toBe("INVALID_ARGUMENT");
    expect(error.violations.map(({ field }) => field)).toContain('architecture.groups["stage1/block1/d1s2/output"]');
    const architecture = initialArchitecture(space);
    expect(thrown(() => decide({ space, architecture, policy, epoch: 0, epochs: 1.5 })).violations).toHaveLength(2);
    const fields = thrown(() =>
      completePolicy({ threshold: 1, firstEpoch: 0, extraEpochs: -1, atBudgetEnd: 7 as BudgetPolicy }),
    ).violations.map(({ field }) => field);
    expect(fields).toEqual(["policy.threshold", "policy.first_epoch", "policy.extra_epochs", "policy.at_budget_end"]);
    expect(completePolicy({ threshold: 0.2, atBudgetEnd: BudgetPolicy.BUDGET_POLICY_UNSPECIFIED })).toMatchObject({
      threshold: 0.2,
      firstEpoch: 1,
      atBudgetEnd: BudgetPolicy.BUDGET_POLICY_ARGMAX,
    });
  });
});
