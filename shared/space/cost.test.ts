import { readFileSync } from "node:fs";
import { join } from "node:path";
import { packageRoot } from "../process/root";
import {
  OperationKind,
  type CostTable,
  type Genotype,
  type GenotypeBlock,
  type SearchSpace,
  type WidthCosts,
} from "../proto/lathe/v1/space";
import { parseGenotype } from "../spec/parse";
import { presetSpec } from "../spec/presets";
import { measuredTable, randomArchitecture, randomSpace, uniform } from "../testing/spaces";
import { costOfLargest, expectedCost, genotypeCost, inputCost, macsTable, outputCost, smallestGenotype } from "./cost";
import { searchedHead } from "./head";
import { costsByPart, networkCosts } from "./networkCosts";
import { derive, largestGenotype, spaceOf, withoutBlocks } from "./genotype";
import { group, initialArchitecture, isConverged, operations, withOperation } from "./groups";

/** A table whose coefficients all differ, like those of a measured one. */
function latencyLike(space: SearchSpace, random: () => number): CostTable {
  const table = macsTable(space);
  const less = (head: WidthCosts) => ({ ...head, costs: head.costs.map(() => -random()) });
  return {
    ...table,
    fixed: 1 + random(),
    candidates: table.candidates.map((row) => ({ ...row, inMiddle: random(), middleOut: random(), fixed: random() })),
    ...(table.head && { head: less(table.head) }),
    ...(table.detail && { detail: less(table.detail) }),
  };
}

const block = (dilation: number, scale: number, middleWidth: number, outputWidth: number) => ({
  dilation,
  scale,
  middleWidth,
  outputWidth,
});

describe("networkCosts", () => {
  /** A network of docs/examples at the input size of the published numbers. */
  const example = (name: string): Genotype =>
    parseGenotype(readFileSync(join(packageRoot(), "docs/examples/networks", name), "utf8"), name);
  const head = { kind: "aggregation", pyramidChannels: 40 } as const;

  it("gives the published parameters and MACs of the paper's network within 3 %", () => {
    const { params, macs } = networkCosts(example("paper.json"), head);
    expect(Math.abs(params / 1.0e6 - 1)).toBeLessThan(0.03);
    expect(Math.abs(macs / 11.0e9 - 1)).toBeLessThan(0.03);
  });

  it("counts ERFNet's reductions, and blocks of two factorised convolutions at full width", () => {
    const genotype = example("erfnet.json");
    expect(genotype.stages.map(({ blocks }) => blocks.map(({ dilation }) => dilation))).toEqual([
      [1, 1, 1, 1, 1],
      [2, 4, 8, 16, 2, 4, 8, 16],
    ]);
    const params = Object.fromEntries(costsByPart(genotype, head).map((part) => [part.name, part.params]));
    expect(params).toMatchObject({
      stem: 9 * 3 * 13 + 2 * 16,
      "stage1/reduction": 9 * 16 * 48 + 2 * 64,
      "stage2/reduction": 9 * 64 * 64 + 2 * 128,
      "stage1/block5": 2 * (3 * 64 * 64 + 2 * 64),
      "stage2/block8": 2 * (3 * 128 * 128 + 2 * 128),
    });
  });

  it("gives the numbers of the authors' code after converting to its conventions", () => {
    const genotype = example("paper.json");
    const { params, macs } = networkCosts(genotype, head);
    // The authors' network widens its second reduction to 128 channels after 48; ours keeps the supernet's 64 convolved ones and
    // ends at 112. Their 16 convolved channels more and the 112 middle channels that read them are added back here.
    const extraParams = 16 * 9 * 48 + 2 * 16 + 3 * 16 * 112;
    const extraMacs = 16 * 9 * 48 * 64 * 128 + 3 * 16 * 112 * 32 * 64;
    expect((macs + extraMacs) / 10.9e9).toBeCloseTo(1, 3);
    // Their convolutions before a BN carry biases: of blocks, of the three reductions, of the aggregation block.
    const widths = genotype.stages.flatMap(({ blocks }) => blocks).map((b) => b.middleWidth + b.outputWidth);
    const biases = widths.reduce((sum, width) => sum + width, 0) + (13 + 48 + 80) + (5 * 40 + 128 + 64 + 128);
    expect((params + extraParams + biases) / 1e6).toBeCloseTo(1.023, 3);
  });

  it("adds up a small network by hand", () => {
    const genotype: Genotype = {
      inputHeight: 32,
      inputWidth: 32,
      classes: 2,
      stemChannels: 4,
      stages: [
        { channels: 6, blocks: [block(1, 1, 3, 5)] },
        { channels: 8, blocks: [block(2, 2, 4, 6)] },
      ],
    };
    const parts = costsByPart(genotype, { kind: "search" });
    expect(parts).toEqual([
      // 3 -> 1 channel at 16x16; BN over 4.
      { name: "stem", params: 27 + 8, macs: 27 * 256 },
      // 4 -> 2 at 8x8; BN over 6.
      { name: "stage1/reduction", params: 72 + 12, macs: 72 * 64 },
      { name: "stage1/block1", params: 3 * 6 * 3 + 6 + 3 * 3 * 5 + 10, macs: (54 + 45) * 64 },
      // 5 -> 8 - 6 = 2 at 4x4; BN over 2 + 5.
      { name: "stage2/reduction", params: 90 + 14, macs: 90 * 16 },
      // 7 channels enter; scale 2 computes at 2x2.
      { name: "stage2/block1", params: 3 * 7 * 4 + 8 + 3 * 4 * 6 + 12, macs: (84 + 72) * 4 },
      { name: "head", params: 6 * 2 + 2, macs: 12 * 16 },
    ]);
    const head = costsByPart(genotype, { kind: "aggregation", pyramidChannels: 2 }).at(-1);
    const pyramid = 5 * (6 * 2 + 4) + (6 + 10) * 8 + 16;
    const low = 9 * (5 + 4) * 6 + 12;
    const joined = (6 + 8) * 8 + 16 + 8 * 2 + 2;
    expect(head?.params).toBe(pyramid + low + joined);
    expect(head?.macs).toBe(12 * (1 + 4 + 9 + 36 + 81) + 128 * 16 + (486 + 112 + 16) * 64);
    expect(networkCosts(genotype, { kind: "search" }).macs).toBe(parts.reduce((sum, { macs }) => sum + macs, 0));
  });
});

describe("parameters and MACs of a block", () => {
  // 7 channels enter, 4 in the middle (8 of an inverted bottleneck), 6 leave, at 4x4.
  const cases: [OperationKind, number, number?][] = [
    [OperationKind.OPERATION_KIND_FACTORIZED, 3 * 7 * 4 + 3 * 4 * 6],
    [OperationKind.OPERATION_KIND_PLAIN, 9 * 7 * 4 + 9 * 4 * 6],
    [OperationKind.OPERATION_KIND_SEPARABLE, 9 * 7 + 7 * 4 + 9 * 4 + 4 * 6],
    [OperationKind.OPERATION_KIND_SEPARABLE5, 25 * 7 + 7 * 4 + 25 * 4 + 4 * 6],
    [OperationKind.OPERATION_KIND_INVERTED, 7 * 8 + 9 * 8 + 8 * 6, 8],
    [OperationKind.OPERATION_KIND_BOTTLENECK, 7 * 4 + 9 * 4 + 4 * 6],
  ];

  it.each(cases)("are those of its kind, counted by hand (%s)", (kind, filters, middle = 4) => {
    const own = { ...block(1, 1, 4, 6), kind };
    const genotype: Genotype = {
      ...{ inputHeight: 16, inputWidth: 16, classes: 2, stemChannels: 4 },
      stages: [{ channels: 7, blocks: [own] }],
    };
    const found = costsByPart(genotype, { kind: "search" }).find(({ name }) => name === "stage1/block1");
    expect(found).toEqual({ name: "stage1/block1", params: filters + 2 * (middle + 6), macs: filters * 16 });
    const space = spaceOf(genotype);
    const whole = genotypeCost(genotype, macsTable(space)) - genotypeCost(withoutBlocks(space), macsTable(space));
    expect(whole).toBe(filters * 16);
  });
});

it("the head of three stages joins them all, counted by hand", () => {
  const last = { channels: 10, blocks: [block(1, 1, 9, 9)] };
  const genotype: Genotype = {
    ...{ inputHeight: 32, inputWidth: 32, classes: 2, stemChannels: 4 },
    stages: [{ channels: 6, blocks: [block(1, 1, 3, 5)] }, { channels: 8, blocks: [block(1, 1, 4, 6)] }, last],
  };
  const head = costsByPart(genotype, { kind: "aggregation", pyramidChannels: 2 }).at(-1);
  // 9 channels at 2x2, 6 at 4x4; the stem's 4 and the first stage's 5 at 8x8. Widths of the head: C1 = 6, C2 = 8.
  const context = (9 + 5 * 2) * 8;
  const [detail, fusion, classifier] = [9 * (5 + 4) * 6, (6 + 8) * 8, 8 * 2];
  const join = 6 * 8;
  const pyramid = 9 * 2 * (1 + 4 + 9 + 36 + 81);
  expect(head?.macs).toBe(pyramid + context * 4 + join * 16 + (detail + fusion + classifier) * 64);
  const norms = 2 * (5 * 2 + 8 + 8 + 6 + 8);
  const searched = costsByPart(genotype, { kind: "search" }).at(-1);
  expect(searched).toEqual({ name: "head", params: 6 * 2 + 9 * 2 + 2, macs: 6 * 2 * 16 + 9 * 2 * 4 });
  expect(head?.params).toBe(5 * 9 * 2 + context + join + detail + fusion + classifier + 2 + norms);
});

describe("expectedCost", () => {
  it("is the genotype's exact cost at a converged architecture, in 200 random spaces", () => {
    for (let seed = 1; seed <= 200; seed++) {
      const random = uniform(seed);
      const space = randomSpace(random);
      const architecture = randomArchitecture(space, random, { decided: 1 });
      expect(isConverged(architecture)).toBe(true);
      const { genotype } = derive(space, architecture);
      for (const table of [macsTable(space), latencyLike(space, random), measuredTable(space, random)]) {
        const exact = genotypeCost(genotype, table);
        expect(Math.abs(expectedCost(space, architecture, table) - exact)).toBeLessThan(1e-12 * exact);
      }
    }
  });

  it("is the mean cost over all networks of the space, each with its probability", () => {
    const space: SearchSpace = {
      ...randomSpace(uniform(1)),
      stages: [
        { channels: 16, minDepth: 1, maxDepth: 2, widths: [8, 16], dropout: 0 },
        { channels: 32, minDepth: 1, maxDepth: 1, widths: [12, 32], dropout: 0 },
      ],
      dilations: [1],
      scales: [1, 2],
      kinds: [OperationKind.OPERATION_KIND_FACTORIZED, OperationKind.OPERATION_KIND_BOTTLENECK],
      ...{ pyramidChannels: 4, headWidths: { joined: [8, 32], pyramid: [0, 2, 4], detail: [4, 16] } },
    };
    const random = uniform(2);
    const architecture = initialArchitecture(space);
    for (const entry of architecture.groups) entry.alphas = entry.alphas.map(() => 4 * random() - 2);
    type Weighted<T> = (readonly [p: number, value: T])[];
    const chances = <T>(id: string, values: readonly T[]): Weighted<T> => {
      const sigmoids = group(architecture, id).alphas.map((alpha) => 1 / (1 + Math.exp(-alpha)));
      const sum = sigmoids.reduce((total, value) => total + value, 0);
      return values.map((value, index) => [(sigmoids[index] ?? Number.NaN) / sum, value]);
    };
    const blocks = (name: string, widths: readonly number[]): Weighted<GenotypeBlock> =>
      chances(`${name}/operation`, operations(space)).flatMap(([p, operation]) =>
        chances(`${name}/${operation.name}/middle`, widths).flatMap(([q, middle]) =>
          chances(`${name}/${operation.name}/output`, widths).map(
            ([r, output]) => [p * q * r, withOperation(block(1, 1, middle, output), operation)] as const,
          ),
        ),
      );
    const [first, second, third] = [
      blocks("stage1/block1", [8, 16]),
      blocks("stage1/block2", [8, 16]),
      blocks("stage2/block1", [12, 32]),
    ];
    const sequences: Weighted<GenotypeBlock[]> = chances("stage1/depth", [1, 2]).flatMap(
      ([p, depth]): Weighted<GenotypeBlock[]> =>
        first.flatMap(([q, one]): Weighted<GenotypeBlock[]> =>
          depth === 1 ? [[p * q, [one]] as const] : second.map(([r, two]) => [p * q * r, [one, two]] as const),
        ),
    );
    const heads = chances("head/joined", [8, 32]).flatMap(([p, joinedWidth]) =>
      chances("head/pyramid", [0, 2, 4]).flatMap(([q, pyramidWidth]) =>
        chances("head/detail", [4, 16]).map(
          ([r, detailWidth]) => [p * q * r, { joinedWidth, pyramidWidth, detailWidth }] as const,
        ),
      ),
    );
    for (const table of [macsTable(space), latencyLike(space, random), measuredTable(space, random)]) {
      let mean = 0;
      let whole = 0;
      for (const [p, one] of sequences)
        for (const [q, two] of third) {
          const stages = [
            { channels: 16, blocks: one },
            { channels: 32, blocks: [two] },
          ];
          for (const [r, head] of heads) {
            mean += p * q * r * genotypeCost({ ...largestGenotype(space), stages, ...head }, table);
            whole += p * q * r;
          }
        }
      expect(whole).toBeCloseTo(1, 12);
      expect(expectedCost(space, architecture, table) / mean).toBeCloseTo(1, 12);
    }
  });

  it("counts the MACs that a narrower head saves behind stages of full width", () => {
    const space: SearchSpace = {
      ...randomSpace(uniform(3)),
      ...{ pyramidChannels: 4, headWidths: { joined: [8, 32], pyramid: [0, 4], detail: [4, 8, 16] } },
    };
    const full = { ...largestGenotype(space), stages: space.stages.map(({ channels }) => ({ channels, blocks: [] })) };
    const costOf = (head: object) => genotypeCost({ ...full, ...head }, macsTable(space));
    const macsOf = (head: object) => networkCosts({ ...full, ...head }, searchedHead(space)).macs;
    const narrower = [{ joinedWidth: 8 }, { pyramidWidth: 0 }, { detailWidth: 4 }];
    const all = { joinedWidth: 8, pyramidWidth: 0, detailWidth: 8 };
    for (const head of [{}, ...narrower, { joinedWidth: 8, pyramidWidth: 0 }, all])
      expect(costOf(head)).toBe(macsOf(head));
    for (const head of narrower) expect(costOf(head)).toBeLessThan(costOf({}));
    expect(smallestGenotype(space, macsTable(space))).toMatchObject({
      joinedWidth: 8,
      pyramidWidth: 0,
      detailWidth: 4,
    });
  });

  it("takes a width at the next larger bound, and refuses one above all", () => {
    const space = randomSpace(uniform(3));
    const { candidates, ...rest } = macsTable(space);
    const costs = { rows: [4, 16, 64], columns: [8, 64], costs: [1, 2, 3, 4, 5, 6] };
    const row = {
      ...candidates[0]!,
      byInput: costs,
      byOutput: { ...costs, costs: costs.costs.map((value) => 10 * value) },
    };
    const cost = (input: number, middle: number, output: number) =>
      inputCost(row, input, middle) + outputCost(row, middle, output);
    expect(cost(4, 8, 8)).toBe(1 + 30);
    expect(cost(5, 9, 9)).toBe(4 + 40);
    expect(cost(64, 17, 64)).toBe(6 + 60);
    expect(() => cost(65, 1, 1)).toThrow("no widths 65 and 1, at most 64 and 64");
    expect(rest.check).toBeUndefined();
  });

  it("rises with the probability of a wider or deeper candidate, and never passes the largest network", () => {
    for (let seed = 1; seed <= 60; seed++) {
      const random = uniform(seed);
      const space = randomSpace(random);
      const table = macsTable(space);
      const architecture = randomArchitecture(space, random);
      const before = expectedCost(space, architecture, table);
      expect(before).toBeLessThanOrEqual(costOfLargest(space, table) * (1 + 1e-12));
      for (const entry of architecture.groups.filter(({ id }) => /\/(output|middle|joined|pyramid)$/.test(id))) {
        const last = entry.alphas.length - 1;
        const alpha = entry.alphas[last] ?? 0;
        entry.alphas[last] = alpha + 1;
        expect(expectedCost(space, architecture, table)).toBeGreaterThanOrEqual(before * (1 - 1e-12));
        entry.alphas[last] = alpha;
      }
    }
  });
});

describe("smallestGenotype", () => {
  it("has the fewest blocks, the smallest widths and the operation of each stage that the table makes cheapest", () => {
    const [first, second] = [
      { channels: 16, minDepth: 1, maxDepth: 3, widths: [4, 16], dropout: 0 },
      { channels: 32, minDepth: 2, maxDepth: 2, widths: [8, 24, 32], dropout: 0 },
    ];
    const space = { ...randomSpace(uniform(5)), stages: [first, second], dilations: [1, 2], scales: [1, 2], kinds: [] };
    const { candidates, ...rest } = macsTable(space);
    const cheap = ["stage1/d2s1", "stage2/d1s2"];
    const costs = candidates.map((row) => ({ ...row, fixed: cheap.includes(row.id) ? 0 : 1e9 }));
    expect(smallestGenotype(space, { ...rest, candidates: costs })).toEqual({
      ...largestGenotype(space),
      stages: [
        { channels: 16, blocks: [block(2, 1, 4, 4)] },
        { channels: 32, blocks: [block(1, 2, 8, 8), block(1, 2, 8, 8)] },
      ],
    });
  });
});

describe("macsTable", () => {
  it("with its fixed part gives the exact MACs of the largest network", () => {
    const { space } = presetSpec("paper");
    const named = { ...space, classes: 19 };
    const table = macsTable(named);
    const largest = largestGenotype(named);
    expect(table.candidates).toHaveLength(2 * 10);
    expect(genotypeCost(largest, table)).toBe(networkCosts(largest, searchedHead(named)).macs);
    expect(costOfLargest(named, table)).toBe(genotypeCost(largest, table));
    // Stage 1 at 128 x 256, scale 2: a quarter of 3 * 128 * 256.
    expect(table.candidates.find(({ id }) => id === "stage1/d8s2")?.inMiddle).toBe(3 * 64 * 128);
    expect(table.candidates.map(({ id }) => id).slice(0, 2)).toEqual(["stage1/d1s1", "stage1/d2s1"]);
    expect(operations(named)).toHaveLength(10);
  });

  it("is refused with the id of a missing row", () => {
    const space = { ...randomSpace(uniform(3)), kinds: [] };
    const table = { ...macsTable(space), candidates: [] };
    expect(() => expectedCost(space, initialArchitecture(space), table)).toThrow('"stage1/d1s1"');
  });
});
