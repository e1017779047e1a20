import type { Dataset } from "../../../shared/data/open";
import { createRandom } from "../../../shared/engine/random";
import { dropoutFactors } from "./running";
import { alphaRate, nextCostWeight, polyRate, ssrFactor, warmup } from "./schedule";
import { countedClassWeights } from "./classWeights";

describe("the schedule", () => {
  it("lowers the rate by (1 - (epoch - 1) / epochs)^0.9, which is not 0 at the last epoch", () => {
    expect(polyRate(3e-4, 1, 10)).toBe(3e-4);
    // 0.5^0.9 and 0.1^0.9 by logarithm table.
    expect(polyRate(1, 6, 10)).toBeCloseTo(0.5358867, 7);
    expect(polyRate(1, 10, 10)).toBeCloseTo(0.1258925, 7);
  });

  it("raises the rate linearly up to the step where the warm-up ends, also within a step", () => {
    expect([1, 2, 3, 4, 5, 9].map((step) => warmup(step, 4))).toEqual([0.25, 0.5, 0.75, 1, 1, 1]);
    expect([1, 2, 3].map((step) => warmup(step, 2.5))).toEqual([0.4, 0.8, 1]);
    expect([0, 0.5, 1].map((rising) => warmup(1, rising))).toEqual([1, 1, 1]);
  });

  it("raises the SSR factor linearly from the first step to the last, and holds it there", () => {
    expect([0, 1, 2, 3, 4, 9].map((step) => ssrFactor(1, 61, step, 5))).toEqual([1, 16, 31, 46, 61, 61]);
    expect(ssrFactor(1, 61, 0, 1)).toBe(61);
    expect(ssrFactor(7, 7, 3, 9)).toBe(7);
  });

  it("weighs classes as ENet does: 1 / ln(1.10 + frequency)", async () => {
    const weights = (counts: number[]) => {
      const train = { length: 1, countPixels: () => Promise.resolve(counts) };
      return countedClassWeights({ train } as unknown as Dataset, counts.length);
    };
    // 1/ln 1.1, 1/ln 1.6, 1/ln 2.1
    const [rare, half] = await weights([0, 7, 7]);
    expect(rare).toBeCloseTo(10.492, 3);
    expect(half).toBeCloseTo(2.1276, 4);
    expect((await weights([7]))[0]).toBeCloseTo(1.3478, 4);
  });
});

describe("dropout factors", () => {
  const entries = [
    { name: "a", channels: 400, probability: 0.3 },
    { name: "b", channels: 200, probability: 0.03 },
  ];

  it("are 0 or 1 / (1 - p), with mean about 1, one per sample and channel", () => {
    const factors = dropoutFactors(entries, 50, createRandom(1));
    for (const { name, channels, probability } of entries) {
      const values = [...factors[name]!];
      expect(values).toHaveLength(50 * channels);
      expect([...new Set(values)].sort((a, b) => a - b)).toEqual([0, Math.fround(1 / (1 - probability))]);
      const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
      // Four standard deviations of the mean of independent draws.
      expect(Math.abs(mean - 1)).toBeLessThan(4 * Math.sqrt(probability / (1 - probability) / values.length));
    }
  });

  it("depend on the generator alone", () => {
    const draw = (seed: number) => dropoutFactors(entries, 2, createRandom(seed));
    expect(draw(1)).toEqual(draw(1));
    expect(draw(1)).not.toEqual(draw(2));
    expect(dropoutFactors([{ name: "n", channels: 3, probability: 0 }], 1, createRandom(1)).n).toEqual(
      new Float32Array(3).fill(1),
    );
  });
});

describe("alphaRate", () => {
  it("is 90 / steps, unless the budget is tiny", () => {
    for (const steps of [900, 1800, 99_200]) expect(alphaRate(0, steps) * steps).toBeCloseTo(90, 9);
    expect(alphaRate(0, 10)).toBe(0.5);
  });

  it("is the rate of the spec if that is not 0", () => {
    expect(alphaRate(0.02, 1800)).toBe(0.02);
  });
});

describe("nextCostWeight", () => {
  const cost = { target: 0.4, weight: 100, band: 0.1 };

  it.each([
    ["rises above the band", 200, 0.45, 300],
    ["rises below the band", 200, 0.35, 300],
    ["stays between half the band and the band", 200, 0.43, 200],
    ["falls well within the band", 240, 0.41, 200],
    ["does not fall below what was asked for", 110, 0.4, 100],
    ["does not rise without end", 9e5, 0.9, 1e6],
  ])("%s", (_, weight, ratio, next) => {
    expect(nextCostWeight(weight, ratio, cost)).toBeCloseTo(next, 9);
  });
});
