import { Dimension } from "../proto/lathe/v1/space";
import { presetSpec } from "../spec/presets";
import {
  candidateValue,
  candidatesLeft,
  dimensionMetrics,
  dominance,
  group,
  indexGroups,
  initialArchitecture,
  isConverged,
  openness,
  operations,
  probabilities,
  spaceGroups,
  ssr,
} from "./groups";

const { space } = presetSpec("tiny");
const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

describe("probabilities", () => {
  it("normalise sigmoids, computed by hand", () => {
    // sigmoid(0) = 1/2, sigmoid(log 3) = 3/4, sigmoid(-log 3) = 1/4: a sum of 3/2.
    const p = probabilities([0, Math.log(3), -Math.log(3)]);
    [1 / 3, 1 / 2, 1 / 6].forEach((expected, index) => expect(p[index]).toBeCloseTo(expected, 14));
  });

  it("are not softmax: large alphas saturate", () => {
    const p = probabilities([30, 40]);
    expect(p[0]).toBeCloseTo(0.5, 12);
  });

  it("stay finite where sigmoids underflow", () => {
    const p = probabilities(Float32Array.from([-800, -800, -801]));
    expect(p.reduce((sum, value) => sum + value, 0)).toBeCloseTo(1, 12);
    expect((p[2] ?? 0) / (p[0] ?? 1)).toBeCloseTo(Math.exp(-1), 6);
  });
});

describe("SSR", () => {
  it("is 0 at the uniform point and with one survivor", () => {
    expect(ssr([0.25, 0.25, 0.25, 0.25])).toBeCloseTo(0, 14);
    expect(ssr([1])).toBe(0);
  });

  it("is -KL(uniform || p)", () => {
    const p = probabilities([0.3, -1.2, 2, 0.1]);
    const u = 1 / p.length;
    const kl = p.reduce((sum, value) => sum + u * Math.log(u / value), 0);
    expect(ssr(p)).toBeCloseTo(-kl, 13);
    expect(ssr(p)).toBeLessThan(0);
  });

  it("has no gradient in alpha at the uniform point, and one that sharpens elsewhere", () => {
    const slope = (alphas: number[], index: number): number => {
      const at = (step: number): number =>
        ssr(probabilities(alphas.map((value, j) => (j === index ? value + step : value))));
      return (at(1e-5) - at(-1e-5)) / 2e-5;
    };
    expect(Math.abs(slope([0.7, 0.7, 0.7], 1))).toBeLessThan(1e-9);
    // SSR is minimised: descent raises the leader and lowers the last.
    expect(slope([1, 0, -1], 0)).toBeLessThan(0);
    expect(slope([1, 0, -1], 2)).toBeGreaterThan(0);
  });
});

describe("initialArchitecture", () => {
  const architecture = initialArchitecture(space);

  it("lists per stage the depth, then per block the operation and its widths", () => {
    expect(architecture.groups.slice(0, 5).map(({ id }) => id)).toEqual([
      "stage1/depth",
      "stage1/block1/operation",
      "stage1/block1/d1s1/output",
      "stage1/block1/d1s1/middle",
      "stage1/block1/d2s1/output",
    ]);
    // Per block 1 + 2 * 6 groups; 2 blocks and a depth in each of 2 stages.
    expect(architecture.groups).toHaveLength(2 * (1 + 2 * 13));
    expect(new Set(architecture.groups.map(({ id }) => id)).size).toBe(54);
    expect(operations(space).map(({ name }) => name)).toEqual(["d1s1", "d2s1", "d4s1", "d1s2", "d2s2", "d4s2"]);
  });

  it("counts candidates", () => {
    // Per block 6 operations and 12 width groups of 3; depths 2.
    expect(candidatesLeft(architecture)).toBe(2 * (2 + 2 * (6 + 36)));
    expect(isConverged(architecture)).toBe(false);
  });

  it("names the candidates", () => {
    const groups = indexGroups({ groups: spaceGroups(space) });
    const value = (id: string, candidate: number): string => candidateValue(groups, id, candidate);
    expect(value("stage2/depth", 1)).toBe("2");
    expect(value("stage1/block2/operation", 4)).toBe("d2s2");
    expect(value("stage2/block1/d1s1/middle", 1)).toBe("24");
    expect(() => value("stage2/block1/d1s1/middle", 3)).toThrow("stage2/block1/d1s1/middle");
    expect(() => group(indexGroups(architecture), "stage3/depth")).toThrow('"stage3/depth"');
  });
});

describe("dimensionMetrics", () => {
  it("averages entropy over undecided groups and SSR over all", () => {
    const toy = { ...space, dilations: [1], scales: [1] };
    const architecture = initialArchitecture(toy);
    const depth = group(architecture, "stage1/depth");
    depth.alphas = [1, -1];
    Object.assign(group(architecture, "stage2/depth"), { alphas: [0], survivors: [1] });
    const [first, second, third, fourth] = dimensionMetrics(toy, architecture);
    const p = sigmoid(1) / (sigmoid(1) + sigmoid(-1));
    const h = -p * Math.log(p) - (1 - p) * Math.log(1 - p);
    expect(first).toMatchObject({ dimension: Dimension.DIMENSION_DEPTH, candidates: 3, groups: 2, undecidedGroups: 1 });
    expect(first?.entropy).toBeCloseTo(h, 13);
    expect(first?.normalisedEntropy).toBeCloseTo(h / Math.LN2, 13);
    expect(first?.ssr).toBeCloseTo(((Math.log(p) + Math.log(1 - p)) / 2 + Math.LN2) / 2, 13);
    // One operation: every operation group is decided.
    expect(second).toMatchObject({ candidates: 4, undecidedGroups: 0, entropy: 0, normalisedEntropy: 0, ssr: 0 });
    expect(third?.normalisedEntropy).toBeCloseTo(1, 13);
    expect(fourth).toMatchObject({ dimension: Dimension.DIMENSION_MIDDLE_WIDTH, candidates: 12, undecidedGroups: 4 });
  });
});

describe("dominance", () => {
  const block = (alphas: number[], survivors: number[]) => ({
    id: "stage1/block1/operation",
    dimension: Dimension.DIMENSION_OPERATION,
    alphas,
    survivors,
  });

  it("is the share of one choice among the groups plus one, by hand", () => {
    // p = 1/3, 1/2, 1/6 for candidates 0, 1, 3 in one group, and p = 1 for candidate 1 in the other: (1/2 + 1) / 3.
    const groups = [block([0, Math.log(3), -Math.log(3)], [0, 1, 3]), block([0], [1])];
    expect(dominance(groups, 4)).toEqual({ share: expect.closeTo(1.5 / 3, 12) as number, choice: 1 });
    // By parity: candidates 1 and 3 together have 1/2 + 1/6 + 1.
    const parity = dominance(groups, 2, (candidate) => candidate % 2);
    expect(parity).toEqual({ share: expect.closeTo((2 / 3 + 1) / 3, 12) as number, choice: 1 });
  });

  it.each([
    // A few blocks of a converged network that all agree stay below the bound 0.9.
    [3, 6, 0.75],
    [5, 2, 5 / 6],
    [9, 10, 0.9],
    [10, 10, 10 / 11],
    [13, 10, 13 / 14],
  ])("of %i blocks that agree on one of %i operations is %d", (blocks, choices, share) => {
    const agreed = Array.from({ length: blocks }, () => block([2], [0]));
    expect(dominance(agreed, choices).share).toBeCloseTo(share, 12);
  });

  it("is 0 if there is only one choice", () => {
    expect(dominance([block([0], [0])], 1).share).toBe(0);
    expect(dominance([], 4).share).toBe(0);
  });

  it("of a space at its beginning is the uniform share over its groups", () => {
    const [depth, operation, output] = dimensionMetrics(space, initialArchitecture(space));
    // Two stages of two blocks, each with six operations of three widths.
    expect(depth?.dominance).toBeCloseTo(1 / 3, 12);
    expect(operation?.dominance).toBeCloseTo(4 / 6 / 5, 12);
    expect(output?.dominance).toBeCloseTo(24 / 3 / 25, 12);
  });
});

describe("openness", () => {
  it("is 1 at the beginning, falls as candidates are removed, and is 0 once every group is decided", () => {
    const start = initialArchitecture(space);
    const kept = (count: (id: string) => number) => ({
      groups: start.groups.map((entry) => ({
        ...entry,
        alphas: entry.alphas.slice(0, count(entry.id)),
        survivors: entry.survivors.slice(0, count(entry.id)),
      })),
    });
    const { DIMENSION_OPERATION: operation } = Dimension;
    expect(openness(space, start, operation)).toBeCloseTo(1, 12);
    // A tie of two out of six in each block has a normalised entropy of 1.
    expect(
      openness(
        space,
        kept(() => 2),
        operation,
      ),
    ).toBeCloseTo(Math.log(2) / Math.log(6), 12);
    const one = kept((id) => (id === "stage1/block1/operation" ? 6 : 1));
    expect(openness(space, one, operation)).toBeCloseTo(1 / 4, 12);
    expect(
      openness(
        space,
        kept(() => 1),
        operation,
      ),
    ).toBe(0);
    const fixed = { ...space, dilations: [1], scales: [1] };
    expect(openness(fixed, initialArchitecture(fixed), operation)).toBe(0);
  });
});
