import { uniform } from "../../shared/testing/spaces";
import { fitOperator, type OperatorSample } from "./fit";

const products = [
  [1024, 1024],
  [64, 64],
  [640, 256],
  [256, 640],
  [256, 256],
] as const;
const sampled = (a: number, b: number, c: number, factor: () => number = () => 1): OperatorSample[] =>
  products.map(([inMiddle, middleOut]) => ({
    inMiddle,
    middleOut,
    seconds: (a * inMiddle + b * middleOut + c) * factor(),
  }));

describe("fitOperator", () => {
  it.each([
    [3e-8, 2e-8, 1e-5],
    [0, 5e-8, 2e-6],
    [4e-9, 0, 1e-3],
    [2e-8, 3e-8, 0],
    [0, 0, 7e-5],
  ])("recovers %d, %d, %d", (a, b, c) => {
    const fit = fitOperator(sampled(a, b, c));
    const scale = a * 1024 + b * 1024 + c;
    expect(Math.abs(fit.inMiddle - a) * 1024).toBeLessThan(1e-9 * scale);
    expect(Math.abs(fit.middleOut - b) * 1024).toBeLessThan(1e-9 * scale);
    expect(Math.abs(fit.fixed - c)).toBeLessThan(1e-9 * scale);
    expect(fit.relativeError).toBeLessThan(1e-9);
  });

  it("fits noisy data with non-negative coefficients, at least as well as any other choice of them", () => {
    const random = uniform(5);
    const loss = (rows: OperatorSample[], a: number, b: number, c: number) =>
      rows.reduce((sum, row) => sum + ((a * row.inMiddle + b * row.middleOut + c) / row.seconds - 1) ** 2, 0);
    for (let trial = 0; trial < 200; trial++) {
      const rows = sampled(1e-9 * random(), 1e-8 * random(), 1e-6, () => 0.3 + 1.4 * random());
      const { inMiddle, middleOut, fixed } = fitOperator(rows);
      expect(Math.min(inMiddle, middleOut, fixed)).toBeGreaterThanOrEqual(0);
      const found = loss(rows, inMiddle, middleOut, fixed);
      for (let other = 0; other < 30; other++) {
        const shift = () => 0.8 + 0.4 * random();
        const near = loss(
          rows,
          inMiddle * shift() + 1e-11 * random(),
          middleOut * shift() + 1e-11 * random(),
          fixed * shift() + 1e-8 * random(),
        );
        expect(near).toBeGreaterThanOrEqual(found * (1 - 1e-9));
      }
    }
  });

  it("weighs relatively: a hundredth of a small sample counts as a hundredth of a large one", () => {
    // Only a fixed part remains to choose: minimising sum (c/t - 1)^2 over t = 1, 1, 4 gives c = (2 + 1/4) / (2 + 1/16).
    const rows = [1, 1, 4].map((seconds) => ({ inMiddle: 0, middleOut: 0, seconds }));
    expect(fitOperator(rows)).toMatchObject({
      inMiddle: 0,
      middleOut: 0,
      fixed: expect.closeTo(2.25 / 2.0625, 12) as number,
    });
  });

  it("returns its mean relative error", () => {
    const rows = [1, 1, 4].map((seconds) => ({ inMiddle: 0, middleOut: 0, seconds }));
    const c = 2.25 / 2.0625;
    expect(fitOperator(rows).relativeError).toBeCloseTo((2 * (c - 1) + (1 - c / 4)) / 3, 12);
  });

  it("refuses too few samples and times that are not positive", () => {
    expect(() => fitOperator(sampled(1, 1, 1).slice(0, 2))).toThrow("2 samples fit no operator");
    expect(() => fitOperator(sampled(1, 1, 1, () => 0))).toThrow("0 s, must be above 0");
    expect(() => fitOperator(sampled(1, 1, 1, () => NaN))).toThrow("must be above 0");
  });
});
