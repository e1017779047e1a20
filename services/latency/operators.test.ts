import { openOnnx } from "../../shared/engine/onnx";
import { CostMetric, type SearchSpace } from "../../shared/proto/lathe/v1/space";
import { expectedCost, costOfLargest, macsTable } from "../../shared/space/cost";
import { group, initialArchitecture } from "../../shared/space/groups";
import { chainOnnx } from "./blocks";
import { measureOperators, operatorPoints, runtimeTimer } from "./operators";
import { defaultSettings } from "./settings";

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
const settings = { ...defaultSettings("cpu", 1), warmupRuns: 1, timedRuns: 5 };

describe("the models of a table", () => {
  it("are, per candidate in the table's order, chains at the stage's resolution", () => {
    const points = operatorPoints(space);
    expect([...new Set(points.map(({ id }) => id))]).toEqual(macsTable(space).candidates.map(({ id }) => id));
    const sizes = points.map(({ id, chain }) => `${id.slice(0, 6)} ${chain.height}x${chain.width}`);
    expect([...new Set(sizes)]).toEqual(["stage1 8x16", "stage2 4x8"]);
  });

  it("have the widths of the space; a stage with a single width also has half of it", () => {
    const square = (width: number) => [width, width, width, width, width];
    // Input, then middle and output of two blocks; the chain repeats them.
    const mixed = (high: number, low: number) => [
      [high, high, low, low, high],
      [high, low, low, high, high],
    ];
    const widthsOf = (widths: number[], channels: number) => {
      const stage = { channels, minDepth: 1, maxDepth: 1, widths, dropout: 0 };
      const points = operatorPoints({ ...space, stages: [stage], dilations: [1], scales: [1] });
      return points.map(({ chain: { inputs, blocks } }) => [
        inputs,
        ...blocks.slice(0, 2).flatMap(({ middleWidth, outputWidth }) => [middleWidth, outputWidth]),
      ]);
    };
    expect(widthsOf([4, 8], 8)).toEqual([square(8), square(4), ...mixed(8, 4)]);
    expect(widthsOf([4, 8, 16], 16)).toEqual([square(16), square(4), ...mixed(16, 4), square(8)]);
    expect(widthsOf([12], 12)).toEqual([square(12), square(6), ...mixed(12, 6)]);
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
  it("recovers the coefficients of a simulated machine, without its cost of an empty run", async () => {
    const truth = new Map(
      macsTable(space).candidates.map(({ id }, i) => [id, { a: (i + 1) * 1e-8, b: (9 - i) * 1e-8, c: (i + 1) * 1e-6 }]),
    );
    const [overhead, fixed, largest] = [5e-5, 3e-4, 1e-3];
    // In the order of measurement: empty model, network without blocks, every point. The first round is slower by a disturbance.
    const expected = operatorPoints(space).map(({ id, chain: { inputs, blocks } }) => {
      const { a, b, c } = truth.get(id) ?? { a: NaN, b: NaN, c: NaN };
      return blocks.reduce((sum, block, i) => {
        const input = blocks[i - 1]?.outputWidth ?? inputs;
        return sum + a * input * block.middleWidth + b * block.middleWidth * block.outputWidth + c;
      }, overhead);
    });
    const times = [overhead, fixed, ...expected];
    const conditions = {
      ...{ device: "", deviceClass: "cpu", runtime: "", precision: "fp32" },
      ...{ batchSize: 1, inputHeight: 32, inputWidth: 64, threads: 1, measuredOn: undefined },
    };
    const samples = {
      ...{ seconds: Float64Array.of(largest), warmupRuns: 0, isWarm: false },
      ...{ calibration: new Float64Array(), elapsedMs: 1, waitedMs: 0 },
    };
    let call = 0;
    const timer: Parameters<typeof measureOperators>[2] = {
      seconds: () => {
        const round = Math.floor(call / times.length);
        return Promise.resolve((times[call++ % times.length] ?? NaN) * (round === 0 ? 1.5 : 1));
      },
      network: () => Promise.resolve({ samples, conditions }),
    };
    const { table, fitError, modelError } = await measureOperators(space, settings, timer, never);
    expect(call).toBe(2 * times.length);
    expect(fitError).toBeLessThan(1e-9);
    expect(table).toMatchObject({ metric: CostMetric.COST_METRIC_LATENCY, fixed, device: "cpu" });
    for (const { id, inMiddle, middleOut, fixed: constant } of table.candidates) {
      const { a, b, c } = truth.get(id) ?? { a: NaN, b: NaN, c: NaN };
      expect(inMiddle / a).toBeCloseTo(1, 6);
      expect(middleOut / b).toBeCloseTo(1, 6);
      expect(constant / c).toBeCloseTo(1, 6);
    }
    // Largest network: two blocks d1s1 of stage 1 (8 channels), one of stage 2 (12), a + b and c as above.
    const predicted = fixed + 2 * (10e-8 * 64 + 1e-6) + (10e-8 * 144 + 5e-6);
    expect(modelError).toBeCloseTo(Math.abs(predicted - largest) / largest, 6);
  });

  it("gives a table that a search can use, measured here", async () => {
    const { table, largest, fitError } = await measureOperators(space, settings, runtimeTimer(settings), never);
    expect(table.candidates.map(({ id }) => id)).toEqual(macsTable(space).candidates.map(({ id }) => id));
    for (const { inMiddle, middleOut, fixed } of table.candidates) {
      expect(Math.min(inMiddle, middleOut, fixed)).toBeGreaterThanOrEqual(0);
      expect(inMiddle + middleOut + fixed).toBeGreaterThan(0);
    }
    expect(table.fixed).toBeGreaterThan(0);
    expect(Number.isFinite(fitError)).toBe(true);
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
    await expect(measureOperators(space, settings, runtimeTimer(settings), AbortSignal.abort(why))).rejects.toBe(why);
  });
});
