import type { CellResults } from "./cells";
import { summarize } from "./summary";

/** Mean and spread of the MACs of cells that differ in their seeds. */
function spreadOf(values: (number | undefined)[]) {
  const plan = { algorithm: "ssr", target: 0.5, state: "finished" as const, epochs: [] };
  const cells = values.map((macs, seed) => ({ ...plan, name: `s${seed}`, seed, results: { macs } as CellResults }));
  return summarize(cells)[0]!.results.macs;
}

describe("mean and spread", () => {
  it("equal a computation by hand", () => {
    // Deviations -3, -1, -1, -1, 0, 0, 2, 4: squares sum to 32, over n - 1 = 7.
    expect(spreadOf([2, 4, 4, 4, 5, 5, 7, 9])).toEqual({ n: 8, mean: 5, deviation: Math.sqrt(32 / 7), min: 2, max: 9 });
  });

  it("keep their digits if the spread is small compared to the mean", () =>
    // Variance 30 (deviations -6, -3, 3, 6), whatever is added to all.
    expect(spreadOf([4, 7, 13, 16].map((value) => 1e9 + value))).toMatchObject({
      mean: 1e9 + 10,
      deviation: Math.sqrt(30),
    }));

  it("have no deviation for one value, and are undefined without values", () => {
    expect(spreadOf([3])).toEqual({ n: 1, mean: 3, deviation: undefined, min: 3, max: 3 });
    expect(spreadOf([undefined])).toBeUndefined();
  });

  it("ignore missing values", () => expect(spreadOf([1, undefined, 3])).toMatchObject({ n: 2, mean: 2 }));
});
