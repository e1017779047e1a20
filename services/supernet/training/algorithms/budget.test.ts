import { planBudget } from "./budget";

// 45 steps an epoch with 7 examples left over; 2 * 40 * 45 * 8 images in all.
const purse = { epochs: 40, batchSize: 8, trainExamples: 367, imagesPerEvaluation: 0, evaluations: 0, trainings: 1 };

describe("a budget", () => {
  it("equals that of a supernet's weight and alpha steps, and is all spent on training if nothing is evaluated", () => {
    expect(planBudget(purse)).toMatchObject({ budget: 28_800, steps: 3600, epochs: 80 });
  });

  it.each([
    [{ trainings: 4 }, 900, 20],
    [{ trainings: 7 }, 514, 12],
    // 100 * 133 / 3 images go into evaluation.
    [{ evaluations: 100, imagesPerEvaluation: 133 }, 3045, 68],
    [{ evaluations: 4, imagesPerEvaluation: 101, trainings: 4 }, 895, 20],
  ])("%j leaves each training %d steps in %d epochs", (change, steps, epochs) => {
    const plan = planBudget({ ...purse, ...change });
    expect(plan).toMatchObject({ budget: 28_800, steps, epochs });
    const all = Array.from({ length: plan.epochs }, (_, at) => plan.stepsOf(at + 1));
    expect(all.slice(0, -1).every((count) => count === 45)).toBe(true);
    expect(all.at(-1)).toBeGreaterThan(0);
    expect(all.reduce((sum, count) => sum + count, 0)).toBe(steps);
    const { trainings, evaluations } = { ...purse, ...change };
    const spent = plan.spent(trainings * steps, evaluations);
    expect(spent).toBeLessThanOrEqual(28_800);
    // The rest is less than one step per training.
    expect(28_800 - spent).toBeLessThan(trainings * 8);
  });

  it("is refused if evaluations leave less than one epoch of training", () => {
    expect(() => planBudget({ ...purse, evaluations: 850, imagesPerEvaluation: 101 })).toThrow(
      expect.objectContaining({
        reason: "BUDGET_TOO_SMALL",
        message: expect.stringContaining("leaves 22 steps for each of 1 trainings") as string,
      }) as Error,
    );
  });
});
