import { uniform } from "../../shared/testing/spaces";
import { spearman } from "./check";

describe("Spearman's rank correlation", () => {
  it("of distinct values is 1 - 6 sum d^2 / (n (n^2 - 1))", () => {
    const random = uniform(3);
    for (let n = 2; n < 20; n++) {
      const a = Array.from({ length: n }, () => random());
      const b = Array.from({ length: n }, () => random());
      const rank = (values: number[], value: number) => [...values].sort((x, y) => x - y).indexOf(value);
      const d2 = a.reduce((sum, value, i) => sum + (rank(a, value) - rank(b, b[i]!)) ** 2, 0);
      expect(spearman(a, b)).toBeCloseTo(1 - (6 * d2) / (n * (n * n - 1)), 12);
    }
  });

  it("is 1 for any rising function, -1 for a falling one, and 0 where one side is constant", () => {
    const x = [3, 1, 2, 8];
    expect(spearman(x, x.map((value) => Math.exp(value)))).toBeCloseTo(1, 12); // prettier-ignore
    expect(spearman(x, x.map((value) => -value))).toBeCloseTo(-1, 12); // prettier-ignore
    expect(spearman(x, [5, 5, 5, 5])).toBe(0);
  });

  it("gives equal values their mean rank", () => {
    // Ranks 1.5, 1.5, 3 against 1, 2, 3: 1.5 / sqrt(1.5 * 2).
    expect(spearman([4, 4, 9], [1, 2, 3])).toBeCloseTo(1.5 / Math.sqrt(3), 12);
  });
});
