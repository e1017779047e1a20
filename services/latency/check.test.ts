import type { Genotype } from "../../shared/proto/lathe/v1/space";
import { uniform } from "../../shared/testing/spaces";
import { genotypeCost, macsTable, smallestGenotype } from "../../shared/space/cost";
import { genotypeViolations, largestGenotype } from "../../shared/space/genotype";
import { presetSpec } from "../../shared/spec/presets";
import { sampledNetworks, spearman } from "./check";

describe("the networks that scale and check a table", () => {
  it.each(["small", "paper"])("have evenly spread costs from the smallest to the largest of %s", (preset) => {
    const space = { ...presetSpec(preset).space, classes: 11 };
    const table = macsTable(space);
    const { scaling, checking } = sampledNetworks(space, table);
    expect([scaling.length, checking.length]).toEqual([6, 12]);
    const cost = (genotype: Genotype) => genotypeCost(genotype, table);
    const costs = [...scaling, ...checking].map(cost).sort((a, b) => a - b);
    const [least, most] = [smallestGenotype(space, table), largestGenotype(space)].map(cost) as [number, number];
    expect(costs[0]).toBe(least);
    expect(costs.at(-1)).toBe(most);
    costs.forEach((each, i) => expect((each - least) / (most - least)).toBeCloseTo(i / 17, 1));
    for (const genotype of [...scaling, ...checking]) {
      expect(genotypeViolations(genotype, "")).toEqual([]);
      genotype.stages.forEach(({ blocks }, s) => {
        const { minDepth, maxDepth, widths } = space.stages[s]!;
        expect(blocks.length >= minDepth && blocks.length <= maxDepth).toBe(true);
        for (const { middleWidth, outputWidth } of blocks)
          expect(widths).toEqual(expect.arrayContaining([middleWidth, outputWidth]));
      });
    }
  });
});

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
