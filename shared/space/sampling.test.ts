import { createRandom, type Random } from "../engine/random";
import type { Genotype, SearchSpace } from "../proto/lathe/v1/space";
import { presetSpec } from "../spec/presets";
import { randomSpace, uniform } from "../testing/spaces";
import { costOfLargest, genotypeCost, macsTable, smallestCostRatio } from "./cost";
import { choicesOf, isMember } from "./genotype";
import { initialArchitecture } from "./groups";
import { HEAD_WIDTHS, headWidth } from "./head";
import { operationName } from "./parts";
import { costWindow, keyOf, randomGenotype } from "./sampling";

const small: SearchSpace = { ...presetSpec("small").space, classes: 11 };
const paper: SearchSpace = { ...presetSpec("paper").space, classes: 19 };
/** The same with searched widths of the head. */
const headed: SearchSpace = {
  ...small,
  pyramidChannels: 16,
  headWidths: { joined: [16, 32], pyramid: [0, 8, 16], detail: [8, 16] },
};
const spaces = [small, paper, headed, ...Array.from({ length: 20 }, (_, seed) => randomSpace(uniform(seed)))];

/** Decisions that two networks of a space make differently, of those that both have. */
function differences(a: Genotype, b: Genotype): string[] {
  const decisions = (of: Genotype) =>
    new Map([
      ...HEAD_WIDTHS.map((width) => [width.id, String(headWidth(width, of))] as const),
      ...of.stages.flatMap(({ blocks }, s) => [
        [`${s}/depth`, String(blocks.length)] as const,
        ...blocks.flatMap(
          (block, at) =>
            [
              [`${s}/${at}/operation`, operationName(block)],
              [`${s}/${at}/middle`, String(block.middleWidth)],
              [`${s}/${at}/output`, String(block.outputWidth)],
            ] as const,
        ),
      ]),
    ]);
  const [before, after] = [decisions(a), decisions(b)];
  return [...before].filter(([id, value]) => after.has(id) && after.get(id) !== value).map(([id]) => id);
}

describe("a network drawn from a space", () => {
  it.each(spaces.map((space, at) => [at, space] as const))("is one of its networks (space %d)", (at, space) => {
    const random = createRandom(at);
    for (let n = 0; n < 20; n++) expect(isMember(space, randomGenotype(space, random))).toBe(true);
  });

  it("has every candidate of every group about as often as every other", () => {
    const random = createRandom(3);
    const draws = 3000;
    const counts = new Map<string, number[]>();
    for (let n = 0; n < draws; n++)
      for (const [id, candidate] of choicesOf(headed, randomGenotype(headed, random))) {
        const of = counts.get(id) ?? [];
        of[candidate] = (of[candidate] ?? 0) + 1;
        counts.set(id, of);
      }
    const groups = initialArchitecture(headed).groups;
    expect([...counts.keys()].sort()).toEqual(groups.map(({ id }) => id).sort());
    for (const { id, survivors } of groups) {
      const of = counts.get(id)!;
      const expected = of.reduce((sum, n) => sum + n, 0) / survivors.length;
      // Five standard deviations of a binomial count.
      for (const candidate of survivors)
        expect(Math.abs((of[candidate] ?? 0) - expected)).toBeLessThan(5 * Math.sqrt(expected));
    }
  });
});

/** A variation within a window that contains every network, which is a single mutation. */
function mutated(genotype: Genotype, space: SearchSpace, random: Random): Genotype {
  return costWindow(space, macsTable(space), { target: 2, tolerance: 1 }).vary(genotype, random);
}

describe("a mutation", () => {
  it.each(spaces.map((space, at) => [at, space] as const))("changes one decision (space %d)", (at, space) => {
    const random = createRandom(at);
    let genotype = randomGenotype(space, random);
    for (let n = 0; n < 60; n++) {
      const next = mutated(genotype, space, random);
      expect(isMember(space, next)).toBe(true);
      expect(differences(genotype, next)).toHaveLength(1);
      genotype = next;
    }
  });

  it("reaches every decision", () => {
    const random = createRandom(1);
    const genotype = randomGenotype(headed, random);
    const changed = new Set<string>();
    for (let n = 0; n < 400; n++)
      for (const id of differences(genotype, mutated(genotype, headed, random))) changed.add(id);
    const blocks = genotype.stages.flatMap((stage, s) => stage.blocks.map((_, b) => `${s}/${b}`));
    expect([...changed].sort()).toEqual(
      [
        "0/depth",
        "1/depth",
        ...HEAD_WIDTHS.map(({ id }) => id),
        ...blocks.flatMap((id) => ["middle", "operation", "output"].map((kind) => `${id}/${kind}`)),
      ].sort(),
    );
  });

  it("leaves the only network of a space alone", () => {
    const stages = small.stages.map((stage) => ({ ...stage, maxDepth: stage.minDepth, widths: [stage.channels] }));
    const single = { ...small, stages, dilations: [2], scales: [1] };
    const genotype = randomGenotype(single, createRandom(1));
    expect(keyOf(mutated(genotype, single, createRandom(2)))).toBe(keyOf(genotype));
  });
});

describe("a cost window", () => {
  it.each([
    ["small", small, 0.6, 0.05],
    ["small", small, 0.25, 0.02],
    ["small", small, 0.9, 0.005],
    ["paper", paper, 0.2, 0.005],
    ["paper", paper, 0.95, 0.01],
  ])("of space %s gives networks of its costs alone (target %#)", (_name, space, target, tolerance) => {
    const table = macsTable(space);
    const window = costWindow(space, table, { target, tolerance });
    const random = createRandom(1);
    const seen = new Set<string>();
    let parent = window.draw(random);
    for (let n = 0; n < 12; n++) {
      const [drawn, near] = [window.draw(random), window.vary(parent, random)];
      for (const genotype of [drawn, near]) {
        const ratio = genotypeCost(genotype, table) / costOfLargest(space, table);
        expect(window.ratio(genotype)).toBe(ratio);
        expect(ratio).toBeLessThanOrEqual(target);
        expect(ratio).toBeGreaterThanOrEqual((1 - tolerance) * target);
        expect(isMember(space, genotype)).toBe(true);
        seen.add(keyOf(genotype));
      }
      expect(keyOf(near)).not.toBe(keyOf(parent));
      parent = near;
    }
    expect(seen.size).toBeGreaterThan(18);
  });

  it("varies a network less than it draws another one", () => {
    const window = costWindow(small, macsTable(small), { target: 0.6, tolerance: 0.05 });
    const random = createRandom(4);
    let [near, far] = [0, 0];
    for (let n = 0; n < 100; n++) {
      const parent = window.draw(random);
      near += differences(parent, window.vary(parent, random)).length;
      far += differences(parent, window.draw(random)).length;
    }
    expect(near).toBeLessThan(0.5 * far);
  });

  it.each<[string, { target: number; tolerance: number }, string]>([
    ["the smallest network is above", { target: 0.1, tolerance: 0.5 }, "COST_TARGET_UNREACHABLE"],
    // Just above the cost of the smallest network, where no other network lies.
    [
      "no network is in it",
      { target: 1.001 * smallestCostRatio(small, macsTable(small)), tolerance: 0.0005 },
      "COST_WINDOW_EMPTY",
    ],
  ])("is refused where %s", (_what, target, reason) => {
    const drawn = () => costWindow(small, macsTable(small), target).draw(createRandom(1));
    expect(drawn).toThrow(expect.objectContaining({ code: "FAILED_PRECONDITION", reason }) as Error);
  });
});
