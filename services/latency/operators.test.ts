import { openOnnx } from "../../shared/engine/onnx";
import { CostMetric, type Genotype, type SearchSpace } from "../../shared/proto/lathe/v1/space";
import {
  candidateId,
  costOfLargest,
  expectedCost,
  genotypeCost,
  inputCost,
  macsTable,
  outputCost,
} from "../../shared/space/cost";
import { blockInputs, largestGenotype } from "../../shared/space/genotype";
import { group, initialArchitecture } from "../../shared/space/groups";
import { operationName } from "../../shared/space/parts";
import { chainOnnx, networkOnnxOf } from "./blocks";
import { sampledNetworks } from "./check";
import type { Measured } from "./network";
import { measureOperators, operatorPoints } from "./operators";
import { defaultSettings } from "./settings";
import { withTimer, type Timer } from "./timer";

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
};
const operators = { space, pyramidChannels: 8 };
const settings = { ...defaultSettings("cpu", 1), warmupRuns: 1, timedRuns: 5 };
const largest: Measured = {
  samples: {
    ...{ seconds: Float64Array.of(1e-3), warmupRuns: 0, isWarm: false },
    ...{ calibration: new Float64Array(), elapsedMs: 1, waitedMs: 0 },
  },
  conditions: {
    ...{ device: "", deviceClass: "cpu", runtime: "", precision: "fp32" },
    ...{ batchSize: 1, inputHeight: 32, inputWidth: 64, threads: 1, measuredOn: undefined },
  },
};

describe("the models of a table", () => {
  it("are, per candidate in the table's order, chains at the stage's resolution", () => {
    const points = operatorPoints(space, 8);
    expect([...new Set(points.map(({ id }) => id))]).toEqual(macsTable(space).candidates.map(({ id }) => id));
    const sizes = points.map(({ id, chain }) => `${id.slice(0, 6)} ${chain.height}x${chain.width}`);
    expect([...new Set(sizes)]).toEqual(["stage1 8x16", "stage2 4x8"]);
  });

  it("are chains of equal blocks of each input bound and each middle bound", () => {
    const points = operatorPoints(space, 8).filter(({ id }) => id === "stage1/d1s1");
    expect(points.map(({ input, middle }) => [input, middle])).toEqual([
      [4, 4],
      [4, 8],
      [8, 4],
      [8, 8],
    ]);
    for (const { input, middle, chain } of points) {
      expect(chain.inputs).toBe(input);
      expect(chain.blocks).toEqual(
        Array.from({ length: 6 }, () => ({ dilation: 1, scale: 1, middleWidth: middle, outputWidth: input })),
      );
    }
  });

  it("open in ONNX Runtime with the shapes of the chain", async () => {
    const blocks = [
      { dilation: 2, scale: 2, middleWidth: 3, outputWidth: 6 },
      { dilation: 2, scale: 2, middleWidth: 6, outputWidth: 5 },
    ];
    const opened = await openOnnx(chainOnnx({ inputs: 4, blocks, height: 8, width: 16 }));
    expect(opened.inputs).toEqual({ x: { shape: [1, 4, 8, 16], dtype: "float32" } });
    expect(opened.outputs).toEqual({ y: { shape: [1, 5, 8, 16], dtype: "float32" } });
    await opened.release();
  });
});

describe("measureOperators", () => {
  it("recovers a simulated machine, without its cost of an empty run, and scales the blocks by whole networks", async () => {
    const [overhead, fixed, scale] = [5e-5, 3e-4, 0.8];
    // Seconds of A(input, middle) and B(middle, output), equal for equal pairs.
    const part = (id: string, wide: number, middle: number) =>
      1e-6 * (id.length + 3 * wide + wide * middle + 0.2 * middle ** 2);
    const chains = operatorPoints(space, 8).map(
      ({ id, input, middle, chain }) => overhead + chain.blocks.length * 2 * part(id, input, middle),
    );
    const timeOf = (genotype: Genotype) => {
      const inputs = blockInputs(genotype);
      const blocks = genotype.stages.flatMap(({ blocks: all }, stage) =>
        all.map((block, index) => {
          const id = candidateId(stage + 1, operationName(block));
          const input = inputs.stages[stage]!.blocks[index]!;
          return part(id, input, block.middleWidth) + part(id, block.outputWidth, block.middleWidth);
        }),
      );
      return fixed + scale * blocks.reduce((sum, seconds) => sum + seconds, 0);
    };
    const times = [overhead, fixed, ...chains, ...sampledNetworks(space).map(timeOf)];
    let call = 0;
    const networks: Uint8Array[] = [];
    const timer: Timer = {
      tile: 8,
      // The first round is slower by a disturbance.
      seconds: () => Promise.resolve((times[call++ % times.length] ?? NaN) * (call <= times.length ? 1.5 : 1)),
      network: (model) => {
        networks.push(model);
        return Promise.resolve(largest);
      },
    };
    const measured = await measureOperators(operators, settings, timer, never);
    const { table } = measured;
    expect(call).toBe(2 * times.length);
    expect(measured).toMatchObject({ largest, smallest: largest });
    // The cheapest operation of both stages has the shortest name, and the first of those.
    const narrow = { dilation: 1, scale: 1, middleWidth: 4, outputWidth: 4 };
    const smallest: Genotype = {
      ...largestGenotype(space),
      stages: [
        { channels: 8, blocks: [narrow] },
        { channels: 12, blocks: [{ ...narrow, middleWidth: 12, outputWidth: 12 }] },
      ],
    };
    expect(networks).toEqual([networkOnnxOf(largestGenotype(space), 8), networkOnnxOf(smallest, 8)]);
    expect(table).toMatchObject({ metric: CostMetric.COST_METRIC_LATENCY, fixed, device: "cpu" });
    for (const row of table.candidates)
      for (const [wide, middle] of row.id.startsWith("stage1")
        ? ([
            [8, 4],
            [4, 8],
          ] as const)
        : ([[12, 12]] as const)) {
        expect(inputCost(row, wide, middle) / (scale * part(row.id, wide, middle))).toBeCloseTo(1, 9);
        expect(outputCost(row, middle, wide) / (scale * part(row.id, wide, middle))).toBeCloseTo(1, 9);
      }
    for (const genotype of sampledNetworks(space))
      expect(genotypeCost(genotype, table) / timeOf(genotype)).toBeCloseTo(1, 9);
    expect(table.check).toEqual({
      networks: 12,
      meanError: expect.closeTo(0, 9) as number,
      rankCorrelation: expect.closeTo(1, 9) as number,
    });
  });

  it("gives a table that a search can use, measured here", async () => {
    const { table, largest } = await withTimer(settings, (timer) =>
      measureOperators(operators, settings, timer, never),
    );
    expect(table.candidates.map(({ id }) => id)).toEqual(macsTable(space).candidates.map(({ id }) => id));
    for (const { byInput, byOutput } of table.candidates)
      for (const cost of [...byInput!.costs, ...byOutput!.costs]) expect(cost).toBeGreaterThan(0);
    expect(table.fixed).toBeGreaterThan(0);
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
    const measured = withTimer(settings, (timer) =>
      measureOperators(operators, settings, timer, AbortSignal.abort(why)),
    );
    await expect(measured).rejects.toBe(why);
  });
});
