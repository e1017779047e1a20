import type { Genotype } from "../../../shared/proto/lathe/v1/space";
import { costOfLargest, genotypeCost, macsTable, smallestCostRatio } from "../../../shared/space/cost";
import { isMember, largestGenotype } from "../../../shared/space/genotype";
import { keyOf } from "../../../shared/space/sampling";
import { randomGenotype, smallSpace } from "../../../shared/testing/networks";
import { uniform } from "../../../shared/testing/spaces";
import { approach } from "./approach";

const space = smallSpace();
const table = macsTable(space);
const costOf = (genotype: Genotype) => genotypeCost(genotype, table);
const largest = costOfLargest(space, table);
/** mIoU that grows with every width: narrowing costs, widening gains. */
const byWidth = (genotype: Genotype) =>
  Promise.resolve(
    genotype.stages.flatMap(({ blocks }) => blocks).reduce((sum, { middleWidth }) => sum + middleWidth, 0),
  );

describe("approach", () => {
  it.each([0.95, 0.8, 0.65, 0.5])("comes from the largest network to a share of %d of its cost", async (share) => {
    const { genotype } = await approach(space, largestGenotype(space), {
      goal: share * largest,
      costOf,
      miouOf: byWidth,
    });
    expect(isMember(space, genotype)).toBe(true);
    expect(Math.abs(costOf(genotype) / largest / share - 1)).toBeLessThan(0.05);
  });

  it.each([0, 1, 2, 3, 4])("comes nearer to a larger or smaller cost from any network (%d)", async (seed) => {
    const from = randomGenotype(space, uniform(seed));
    for (const goal of [0.5 * largest, 0.8 * largest]) {
      const { genotype } = await approach(space, from, { goal, costOf, miouOf: byWidth });
      const [before, after] = [from, genotype].map((one) => Math.abs(costOf(one) - goal));
      expect(after! <= before!).toBe(true);
      expect(after! / goal).toBeLessThan(0.05);
    }
  });

  it("leaves a network that is near enough, and evaluates nothing", async () => {
    const from = largestGenotype(space);
    const never = () => Promise.reject(new Error("nothing is to be evaluated"));
    const found = await approach(space, from, { goal: 1.01 * costOf(from), costOf, miouOf: never });
    expect(found).toEqual({ genotype: from, evaluated: 0 });
  });

  it("leaves the largest network where a larger one is wanted", async () => {
    const from = largestGenotype(space);
    expect(await approach(space, from, { goal: 2 * largest, costOf, miouOf: byWidth })).toMatchObject({
      genotype: from,
    });
  });

  it("ends at the smallest network where a smaller one is wanted", async () => {
    const goal = 0.5 * smallestCostRatio(space, table) * largest;
    const { genotype } = await approach(space, largestGenotype(space), { goal, costOf, miouOf: byWidth });
    expect(costOf(genotype) / largest).toBeCloseTo(smallestCostRatio(space, table), 9);
  });

  it("takes the change that loses least mIoU per cost", async () => {
    const from = largestGenotype(space);
    // Only the first block may not be touched: every change of it costs everything.
    const [first] = from.stages[0]!.blocks;
    const miouOf = ({ stages }: Genotype) => {
      const [now] = stages[0]!.blocks;
      return Promise.resolve(JSON.stringify(now) === JSON.stringify(first) ? 0.5 : 0);
    };
    const { genotype } = await approach(space, from, { goal: 0.7 * largest, costOf, miouOf });
    expect(genotype.stages[0]!.blocks[0]).toEqual(first);
    expect(costOf(genotype) / largest).toBeLessThan(0.75);
  });

  it("evaluates a network once", async () => {
    const seen: string[] = [];
    const miouOf = (genotype: Genotype) => {
      seen.push(keyOf(genotype));
      return byWidth(genotype);
    };
    const { evaluated } = await approach(space, largestGenotype(space), { goal: 0.6 * largest, costOf, miouOf });
    expect(new Set(seen).size).toBe(seen.length);
    expect(evaluated).toBe(seen.length);
  });
});
