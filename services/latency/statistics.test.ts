import { LatheError } from "../../shared/process/errors";
import { createRandom } from "../../shared/engine/random";
import { ascending, driftOf, medianInterval, medianOf, medianRanks, outliersOf, percentile } from "./statistics";

describe("percentile, by nearest rank", () => {
  it.each([
    [[7], 50, 7],
    [[1, 2, 3, 4], 50, 2],
    [[1, 2, 3, 4, 5], 50, 3],
    [[1, 2, 3, 4], 51, 3],
    [[1, 2, 3, 4], 100, 4],
    [[15, 20, 35, 40, 50], 30, 20],
    [[15, 20, 35, 40, 50], 40, 20],
    [[15, 20, 35, 40, 50], 1, 15],
  ])("of %j at %d is %d", (sorted, p, expected) => {
    expect(percentile(sorted, p)).toBe(expected);
  });

  it("of 1 to 100 is p itself for every whole p", () => {
    const sorted = Array.from({ length: 100 }, (_, i) => i + 1);
    for (let p = 1; p <= 100; p++) expect(percentile(sorted, p)).toBe(p);
  });

  it.each([0, -1, 101, NaN])("refuses p = %d, and no samples", (p) => {
    expect(() => percentile([1], p)).toThrow(LatheError);
    expect(() => percentile([], 50)).toThrow("0 samples");
  });
});

describe("the interval of the median", () => {
  it("has ranks that the binomial distribution gives", () => {
    // P(Bin(n, 1/2) < k), with exact binomial coefficients.
    const below = (n: number, k: number) => {
      let [coefficient, sum] = [1n, 0n];
      for (let i = 0; i < k; i++) {
        sum += coefficient;
        coefficient = (coefficient * BigInt(n - i)) / BigInt(i + 1);
      }
      return Number((sum * 10n ** 18n) / 2n ** BigInt(n)) / 1e18;
    };
    for (let n = 1; n <= 5; n++) expect(medianRanks(n)).toBeUndefined();
    for (const n of [6, 7, 8, 9, 20, 100, 101, 1000, 3000]) {
      const [low, high] = medianRanks(n)!;
      expect(below(n, low)).toBeLessThanOrEqual(0.025);
      expect(below(n, low + 1)).toBeGreaterThan(0.025);
      expect(low + high).toBe(n + 1);
    }
    expect(medianRanks(100)).toEqual([40, 61]);
  });

  it("contains the median of a skewed distribution about 95 times of 100", () => {
    const random = createRandom(3, "interval");
    const holds = Array.from({ length: 2000 }, () => {
      const { low, high } = medianInterval(ascending(Array.from({ length: 30 }, () => -Math.log(1 - random.next()))))!;
      return low <= Math.LN2 && Math.LN2 <= high;
    }).filter(Boolean);
    expect(holds.length / 2000).toBeGreaterThan(0.94);
    expect(holds.length / 2000).toBeLessThan(0.98);
  });
});

describe("drift", () => {
  it("of a line is its rise over its median, and a trend", () => {
    const line = Array.from({ length: 11 }, (_, i) => 100 + 2 * i);
    expect(driftOf(line).ratio).toBeCloseTo(20 / 110, 12);
    expect(driftOf(line).isTrend).toBe(true);
    expect(driftOf([...line].reverse())).toEqual({ ratio: expect.closeTo(-20 / 110, 12) as number, isTrend: true });
  });

  it("is not told of few samples, equal samples or one outlier", () => {
    expect(driftOf([])).toEqual({ ratio: 0, isTrend: false });
    expect(driftOf([1, 2, 3]).isTrend).toBe(false);
    expect(driftOf(Array<number>(50).fill(7))).toEqual({ ratio: 0, isTrend: false });
    expect(driftOf([900, 4, 4, 4, 4, 4, 4, 4]).isTrend).toBe(false);
  });

  it("is told of independent samples at most 5 times of 100, and of thousands by means of neighbours", () => {
    const random = createRandom(5, "drift");
    const trends = Array.from({ length: 1000 }, () => driftOf(Array.from({ length: 8 }, () => random.next())).isTrend);
    expect(trends.filter(Boolean).length).toBeLessThan(60);
    const long = Array.from({ length: 5000 }, (_, i) => 1 + i / 5000 + random.next() / 10);
    const { ratio, isTrend } = driftOf(long);
    expect(isTrend).toBe(true);
    expect(ratio).toBeCloseTo(1 / 1.55, 1);
  });
});

describe("outliers", () => {
  it("lie above the upper outer fence", () => {
    // Quartiles 2 and 6: the fence is at 6 + 3 * 4 = 18.
    expect(outliersOf([1, 2, 3, 4, 5, 6, 18, 18.1])).toBe(1);
    expect(outliersOf([1, 1, 1, 1])).toBe(0);
  });
});

test("the median is by nearest rank, whatever the order", () => {
  expect(medianOf([9, 1, 5, 7])).toBe(5);
});
