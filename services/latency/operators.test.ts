import { createHash } from "node:crypto";
import { openOnnx } from "../../shared/engine/onnx";
import {
  CostMetric,
  OperationKind,
  type CostTable,
  type Genotype,
  type SearchSpace,
} from "../../shared/proto/lathe/v1/space";
import {
  candidateId,
  costOfLargest,
  expectedCost,
  genotypeCost,
  inputCost,
  macsTable,
  outputCost,
} from "../../shared/space/cost";
import { headPoints, headTables } from "../../shared/space/headTables";
import { blockInputs, largestGenotype } from "../../shared/space/genotype";
import { group, initialArchitecture } from "../../shared/space/groups";
import { operationName } from "../../shared/space/parts";
import { chainOnnx, emptyOnnx, networkOnnxOf } from "./blocks";
import { middleBounds, stageBounds } from "./bounds";
import { sampledNetworks } from "./check";
import { exitPoints } from "./exits";
import type { Measured } from "./network";
import { measureOperators, operatorPoints } from "./operators";
import { keeping } from "./ratios.fixture";
import { defaultSettings } from "./settings";
import { withTimer, type Stopwatch, type Timer } from "./timer";

const never = new AbortController().signal;
const space: SearchSpace = {
  inputHeight: 32,
  inputWidth: 64,
  classes: 5,
  stemChannels: 4,
  stages: [
    { channels: 8, minDepth: 1, maxDepth: 2, widths: [4, 8], dropout: 0 },
    { channels: 12, minDepth: 1, maxDepth: 1, widths: [12], dropout: 0 },
  ],
  dilations: [1, 2],
  scales: [1, 2],
  kinds: [],
};
const wide: SearchSpace = {
  ...{ ...space, dilations: [1] },
  stages: [
    { channels: 32, minDepth: 1, maxDepth: 3, widths: [16, 32], dropout: 0 },
    { channels: 48, minDepth: 1, maxDepth: 2, widths: [32, 48], dropout: 0 },
  ],
  ...{ pyramidChannels: 8, headWidths: { joined: [16, 48], pyramid: [0, 4, 8], detail: [8, 32] } },
};
const operators = { space, pyramidChannels: 8 };
const settings = { ...defaultSettings("cpu", 1), warmupRuns: 1, timedRuns: 5 };
const largest: Measured = {
  samples: {
    ...{ seconds: Float64Array.of(1e-3), warmupRuns: 0, isWarm: false },
    ...{ calibration: new Float64Array(), paced: new Float64Array(), start: undefined, elapsedMs: 1, waitedMs: 0 },
  },
  conditions: {
    ...{ device: "", deviceClass: "cpu", runtime: "", precision: "fp32" },
    ...{ batchSize: 1, inputHeight: 32, inputWidth: 64, threads: 1, measuredOn: undefined },
  },
};

const hex = (model: Uint8Array) => createHash("sha256").update(model).digest("hex");

describe("the models of a table", () => {
  it("are, per candidate in the table's order, chains at the stage's resolution", () => {
    const points = operatorPoints(space, 8);
    expect([...new Set(points.map(({ id }) => id))]).toEqual(macsTable(space).candidates.map(({ id }) => id));
    const sizes = points.map(({ id, chain }) => `${id.slice(0, 6)} ${chain.height}x${chain.width}`);
    expect([...new Set(sizes)]).toEqual(["stage1 8x16", "stage2 4x8"]);
  });

  it("are chains of equal blocks of each input bound and each middle bound", () => {
    const points = operatorPoints(wide, 8).filter(({ id }) => id === "stage1/d1s1");
    expect(points.map(({ input, middle }) => [input, middle])).toEqual([
      [16, 16],
      [16, 32],
      [32, 16],
      [32, 32],
    ]);
    for (const { input, middle, chain } of points) {
      expect(chain.inputs).toBe(input);
      expect(chain.blocks).toEqual(
        Array.from({ length: 6 }, () => ({ dilation: 1, scale: 1, middleWidth: middle, outputWidth: input })),
      );
    }
  });

  it("have the middle bounds of their kind", () => {
    const kinds = [OperationKind.OPERATION_KIND_FACTORIZED, OperationKind.OPERATION_KIND_INVERTED];
    const points = operatorPoints({ ...wide, stages: [{ ...wide.stages[0]!, widths: [20, 32] }], kinds }, 8);
    const middles = (id: string) => [...new Set(points.filter((point) => point.id === id).map(({ middle }) => middle))];
    expect(middles("stage1/d1s1")).toEqual([24, 32]);
    // Twice 20 channels are five whole tiles.
    expect(middles("stage1/inverted-d1s1")).toEqual([20, 32]);
  });

  it("open in ONNX Runtime with the shapes of the chain", async () => {
    const blocks = [
      { dilation: 2, scale: 2, middleWidth: 3, outputWidth: 4 },
      { dilation: 2, scale: 2, middleWidth: 6, outputWidth: 4 },
    ];
    const opened = await openOnnx(chainOnnx({ inputs: 4, blocks, height: 8, width: 16 }));
    expect(opened.inputs).toEqual({ x: { shape: [1, 4, 8, 16], dtype: "float32" } });
    expect(opened.outputs).toEqual({ y: { shape: [1, 4, 8, 16], dtype: "float32" } });
    await opened.release();
  });
});

/** A simulated machine: the cost of an empty run, of a network without blocks, and a factor by which blocks in networks differ from chains. */
const [overhead, fixed, scale] = [5e-2, 3e-1, 0.8];
/** A(joint, middle) and B(middle, joint), equal for equal pairs. */
const part = (id: string, joint: number, middle: number) =>
  1e-4 * (7.3 * Number(/s(\d)$/.exec(id)?.[1]) + 2.9 * joint + joint * middle + 0.23 * middle ** 2);
const unscaled: CostTable = {
  ...macsTable(wide),
  fixed,
  candidates: macsTable(wide).candidates.map((row) => {
    const stage = row.id.startsWith("stage1") ? 0 : 1;
    const { inputs, outputs } = stageBounds(wide, 8)[stage]!;
    const middles = middleBounds(wide.stages[stage]!, 1, 8);
    const costs = inputs.flatMap((joint) => middles.map((middle) => part(row.id, joint, middle)));
    const back = middles.flatMap((middle) => outputs.map((joint) => part(row.id, joint, middle)));
    return {
      ...{ ...row, inMiddle: 0, middleOut: 0 },
      byInput: { rows: inputs, columns: middles, costs },
      byOutput: { rows: middles, columns: outputs, costs: back },
    };
  }),
};
/** A narrower exit of a stage saves this time behind it. */
const saved = (stage: number, width: number) => 1e-3 * (stage === 0 ? 32 - width : 2 * (48 - width));
/** So does a narrower head. */
const savedByHead = ({ joinedWidth = 48, pyramidWidth = 8, detailWidth = 32 }: Genotype) =>
  1e-3 * (48 - joinedWidth) + 2e-5 * (8 - pyramidWidth) * joinedWidth + 1e-5 * (32 - detailWidth) * (9 + joinedWidth);
const timeOf = (genotype: Genotype) => {
  const inputs = blockInputs(genotype);
  const blocks = genotype.stages.flatMap(({ blocks: all }, stage) =>
    all.map((block, index) => {
      const id = candidateId(stage + 1, operationName(block));
      const input = inputs.stages[stage]!.blocks[index]!;
      return part(id, input, block.middleWidth) + part(id, block.outputWidth, block.middleWidth);
    }),
  );
  const ends = genotype.stages.map(({ blocks: all }, stage) =>
    saved(stage, all.at(-1)?.outputWidth ?? [32, 48][stage]!),
  );
  const sum = (values: number[]) => values.reduce((total, value) => total + value, 0);
  return fixed + scale * sum(blocks) - sum(ends) - savedByHead(genotype);
};
/** The table before its scale is known: exits less what the block before them costs, which is not scaled yet. */
const exits = [0, 1].map((stage) => {
  const own = exitPoints(wide, 8).filter((point) => point.stage === stage + 1);
  const full = own.at(-1)!;
  const back = ({ width, middle }: { width: number; middle: number }) => part(`stage${stage + 1}/d1s1`, width, middle);
  const cost = (point: (typeof own)[number]) => (scale - 1) * (back(point) - back(full)) - saved(stage, point.width);
  return { widths: own.map(({ width }) => width), costs: own.map(cost) };
});
/** The networks that tell the cost of the head. */
const heads = headPoints(wide);
const head = headTables(wide, heads.map(timeOf), fixed);
const { scaling, checking } = sampledNetworks(wide, { ...unscaled, exits, ...head });
const bare = { ...largestGenotype(wide), stages: wide.stages.map(({ channels }) => ({ channels, blocks: [] })) };
/** The time of each model of the table, by its bytes. */
const times = new Map<string, number>([
  [hex(emptyOnnx()), overhead],
  [hex(networkOnnxOf(bare, 8)), fixed],
  ...heads.map((genotype) => [hex(networkOnnxOf(genotype, 8)), timeOf(genotype)] as const),
  ...exitPoints(wide, 8).map(({ genotype }) => [hex(networkOnnxOf(genotype, 8)), timeOf(genotype)] as const),
  ...operatorPoints(wide, 8).map(
    ({ id, input, middle, chain }) =>
      [hex(chainOnnx(chain)), overhead + chain.blocks.length * 2 * part(id, input, middle)] as const,
  ),
  ...[...scaling, ...checking].map((genotype) => [hex(networkOnnxOf(genotype, 8)), timeOf(genotype)] as const),
]);

/** The models that are no networks. */
const chains = new Set([emptyOnnx(), ...operatorPoints(wide, 8).map(({ chain }) => chainOnnx(chain))].map(hex));

/** A timer by those times, whose first measurement of each model is disturbed, and what it has measured. */
function simulated() {
  const [asked, networks]: [string[], Uint8Array[]] = [[], []];
  const stopwatch = (key: string, of: (name: string) => boolean): Stopwatch => ({
    key,
    time: (model) => {
      const name = hex(model);
      const disturbed = !asked.includes(name);
      asked.push(name);
      const ratio = (disturbed ? 0.6 : 1) * (of(name) ? (times.get(name) ?? NaN) : NaN);
      return Promise.resolve({ ratio, calibration: disturbed ? 3e-3 : 2e-3 });
    },
  });
  const timer: Timer = {
    tile: 8,
    blocks: stopwatch("device.20", (name) => chains.has(name)),
    networks: stopwatch("device.40", (name) => !chains.has(name)),
    quietUnit: () => 2e-3,
    network: (model) => {
      networks.push(model);
      return Promise.resolve(largest);
    },
  };
  return { timer, asked, networks };
}

describe("measureOperators", () => {
  const measured = { space: wide, pyramidChannels: 8 };

  it("recovers a simulated machine, without its cost of an empty run, and scales the blocks by whole networks", async () => {
    const { timer, asked, networks } = simulated();
    const store = keeping();
    const result = await measureOperators(measured, settings, timer, store, never);
    const { table } = result;
    expect(asked).toHaveLength(2 * times.size);
    expect(new Set(asked)).toEqual(new Set(times.keys()));
    expect(heads).toHaveLength(2 * 3 - 1 + 2);
    // The network without blocks has the full head, and an empty one tells the overhead.
    const models =
      2 + heads.length + exits.flatMap(({ widths }) => widths).length + operatorPoints(wide, 8).length + 18;
    expect(store.told.at(-1)).toEqual([2 * models, 2 * models]);
    for (const [i, [done]] of store.told.entries()) expect(done).toBeGreaterThanOrEqual(store.told[i - 1]?.[0] ?? 0);
    expect(result).toMatchObject({ largest, smallest: largest, quietUnit: 2e-3 });
    const narrow = { dilation: 1, scale: 1, middleWidth: 16, outputWidth: 16 };
    const smallest: Genotype = {
      ...{ ...largestGenotype(wide), joinedWidth: 16, pyramidWidth: 0, detailWidth: 8 },
      stages: [
        { channels: 32, blocks: [narrow] },
        { channels: 48, blocks: [{ ...narrow, middleWidth: 32, outputWidth: 32 }] },
      ],
    };
    expect(networks).toEqual([networkOnnxOf(largestGenotype(wide), 8), networkOnnxOf(smallest, 8)]);
    expect(table).toMatchObject({ metric: CostMetric.COST_METRIC_LATENCY, fixed, device: "cpu" });
    for (const row of table.candidates)
      for (const [joint, middle] of [
        [32, 16],
        [16, 32],
        ...(row.id.startsWith("stage2") ? [[48, 32] as const] : []),
      ] as const) {
        const exact = unscaled.candidates.find(({ id }) => id === row.id)!;
        expect(inputCost(row, joint, middle) / inputCost(exact, joint, middle)).toBeCloseTo(scale, 9);
        expect(outputCost(row, middle, joint) / outputCost(exact, middle, joint)).toBeCloseTo(scale, 9);
      }
    for (const [stage, { widths, costs }] of table.exits.entries())
      for (const [i, width] of widths.entries()) expect(costs[i]).toBeCloseTo(-saved(stage, width), 9);
    const close = (costs: readonly number[]) => costs.map((cost) => expect.closeTo(cost, 9) as number);
    expect(table.head).toEqual({ rows: [16, 48], columns: [0, 4, 8], costs: close(head.head!.costs) });
    const byDetail = [16, 48].flatMap((joinedWidth) => [-1e-5 * 24 * (9 + joinedWidth), 0]);
    expect(table.detail).toEqual({ rows: [16, 48], columns: [8, 32], costs: close(byDetail) });
    for (const genotype of checking) expect(genotypeCost(genotype, table) / timeOf(genotype)).toBeCloseTo(1, 9);
    expect(table.check).toEqual({
      networks: 12,
      meanError: expect.closeTo(0, 9) as number,
      rankCorrelation: expect.closeTo(1, 9) as number,
    });
  });

  it("gives a table that a search can use, measured here", async () => {
    const { table, largest, quietUnit } = await withTimer(
      settings,
      (timer) => measureOperators(operators, settings, timer, keeping(), never),
      never,
    );
    expect(table.candidates.map(({ id }) => id)).toEqual(macsTable(space).candidates.map(({ id }) => id));
    for (const { byInput, byOutput } of table.candidates)
      for (const cost of [...byInput!.costs, ...byOutput!.costs]) expect(cost).toBeGreaterThan(0);
    expect(table.fixed).toBeGreaterThan(0);
    expect(quietUnit).toBeGreaterThan(0);
    expect(table.check?.networks).toBe(12);
    expect(largest.conditions).toMatchObject({ deviceClass: "cpu", inputHeight: 32, inputWidth: 64, threads: 1 });

    const architecture = initialArchitecture(space);
    const cost = expectedCost(space, architecture, table);
    expect(cost).toBeGreaterThan(table.fixed);
    expect(cost).toBeLessThanOrEqual(costOfLargest(space, table) * (1 + 1e-12));
    group(architecture, "stage1/depth").alphas = [-9, 9];
    const deep = expectedCost(space, architecture, table);
    group(architecture, "stage1/depth").alphas = [9, -9];
    expect(expectedCost(space, architecture, table)).toBeLessThan(deep);
  });

  it("stops between two models when aborted", async () => {
    const why = new Error("enough");
    const measured = withTimer(
      settings,
      (timer) => measureOperators(operators, settings, timer, keeping(), AbortSignal.abort(why)),
      never,
    );
    await expect(measured).rejects.toBe(why);
  });
});
