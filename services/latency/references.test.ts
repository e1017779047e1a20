import { connect, type Bus } from "../../shared/events/bus";
import { provision } from "../../shared/events/streams";
import { CandidateCost, CostTable } from "../../shared/proto/lathe/v1/space";
import { quiet } from "../../shared/testing/bus";
import { startNats, type TestNats } from "../../shared/testing/nats";
import { readCpu } from "./cpu";
import { readGpu } from "./gpu";
import type { Measured } from "./network";
import { deviceFigures } from "./provenance";
import { References } from "./references";
import { inUnit } from "./unit";

let nats: TestNats;
let bus: Bus;
beforeAll(async () => {
  nats = await startNats();
  bus = await connect({ url: nats.url, name: "latency", logger: quiet });
  await provision(bus);
});
afterAll(async () => {
  await bus?.drain();
  await nats?.stop();
});

/** A network that takes `runs` runs of the calibration network, measured at a speed at which one of those takes `calibration` seconds. */
function measured(deviceClass: string, runs: number, calibration: number, waitedMs = 0, threads = 1): Measured {
  const readings = { runtime: "r", cpu: () => readCpu(), gpu: () => readGpu() };
  return {
    samples: {
      ...{ seconds: new Float64Array(50).fill(runs * calibration), warmupRuns: 8, isWarm: true },
      ...{
        elapsedMs: 1000,
        waitedMs,
        start: undefined,
        calibration: new Float64Array(50).fill(calibration),
        paced: new Float64Array(),
      },
    },
    conditions: {
      ...{ device: "a CPU", deviceClass, runtime: "r", precision: "fp32", threads },
      ...{ batchSize: 1, inputHeight: 8, inputWidth: 8 },
      measuredOn: deviceFigures({ deviceClass, provider: "cpu", threads }, readings),
    },
  };
}

it("the reference of a device is the fastest calibration of its stable measurements", async () => {
  const references = new References(bus);
  const figures = async (calibration: number, waitedMs = 0, threads = 2) =>
    references.figures(measured("fastest", 0.1 / calibration, calibration, waitedMs, threads));
  expect(await figures(0.002, 900)).toMatchObject({ stable: false, calibrationReferenceSeconds: 0.002 });
  // An unstable measurement left no reference.
  expect(await figures(0.003)).toMatchObject({ stable: true, calibrationReferenceSeconds: 0.003 });
  expect(await figures(0.0025)).toMatchObject({ stable: true, calibrationReferenceSeconds: 0.0025 });
  expect(await figures(0.005)).toMatchObject({
    ...{ stable: false, calibrationReferenceSeconds: 0.0025, p50Seconds: 0.1, calibratedP50Seconds: 0.05 },
  });
  // The time with other threads is another one.
  expect(await figures(0.004, 0, 1)).toMatchObject({ stable: true, calibrationReferenceSeconds: 0.004 });
});

describe("the unit of a table", () => {
  it("is the stored reference, whatever the speed of the device meanwhile", async () => {
    const references = new References(bus);
    await references.figures(measured("quiet", 3, 0.002));
    const { unit, figures } = await references.unit([measured("quiet", 20, 0.005), measured("quiet", 5, 0.003)]);
    expect(unit.seconds).toBe(0.002);
    expect(figures.map(({ calibratedP50Seconds }) => calibratedP50Seconds)).toEqual([
      expect.closeTo(0.04, 12),
      expect.closeTo(0.01, 12),
    ]);
  });

  it("is lowered by a stable measurement of the table itself, for all of them", async () => {
    const references = new References(bus);
    await references.figures(measured("faster", 3, 0.002));
    const { unit, figures } = await references.unit([measured("faster", 20, 0.005), measured("faster", 5, 0.001)]);
    expect(unit.seconds).toBe(0.001);
    expect(figures.map(({ calibratedP50Seconds }) => calibratedP50Seconds)).toEqual([
      expect.closeTo(0.02, 12),
      expect.closeTo(0.005, 12),
    ]);
    const [again] = (await references.unit([measured("faster", 7, 0.002)])).figures;
    expect(again?.calibratedP50Seconds).toBeCloseTo(0.007, 12);
  });

  it("is lowered by the quiet moments of the table, where the measurements beside it were slower", async () => {
    const references = new References(bus);
    const slow = measured("slow", 4, 0.003, 900);
    const { unit, figures } = await references.unit([slow], 0.002);
    expect([unit.seconds, figures[0]?.calibratedP50Seconds]).toEqual([0.002, expect.closeTo(0.008, 12)]);
    expect((await references.unit([slow], 0.0025)).unit.seconds).toBe(0.002);
  });

  it("is the first calibration where the device has none, even an unstable one, and is stored", async () => {
    const references = new References(bus);
    const unstable = (calibration: number) => measured("new", 4, calibration, 900);
    const { unit, figures } = await references.unit([unstable(0.004), unstable(0.003)]);
    expect(unit.seconds).toBe(0.003);
    expect(figures.map(({ stable }) => stable)).toEqual([false, false]);
    expect(figures.map(({ calibratedP50Seconds }) => calibratedP50Seconds)).toEqual(
      figures.map(() => expect.closeTo(0.012, 12) as number),
    );
    expect((await new References(bus).unit([unstable(0.006)])).unit.seconds).toBe(0.003);
  });
});

it("the networks of a table count in its unit, also an unstable one that was faster", async () => {
  const references = new References(bus);
  const fast = measured("fast", 10, 0.001, 900);
  const { unit, figures } = await references.unit([measured("fast", 20, 0.002), fast]);
  expect(unit.seconds).toBe(0.002);
  expect(figures[1]).toMatchObject({ stable: false, calibratedP50Seconds: expect.closeTo(0.02, 12) as number });
});

describe("a network of a search", () => {
  it("counts in the unit of its table, though the device is faster or slower meanwhile, and lowers the reference for others", async () => {
    const references = new References(bus);
    const { unit } = await references.unit([measured("later", 20, 0.003)]);
    expect(unit.seconds).toBe(0.003);
    for (const [calibration, reference] of [
      [0.002, 0.002],
      [0.0025, 0.002],
      [0.004, 0.002],
    ] as const) {
      const one = measured("later", 10, calibration);
      expect(await references.figures(one, unit)).toMatchObject({
        ...{ p50Seconds: expect.closeTo(10 * calibration, 12) as number, calibrationReferenceSeconds: 0.003 },
        calibratedP50Seconds: expect.closeTo(0.03, 12) as number,
      });
      expect((await references.figures(one)).calibrationReferenceSeconds).toBe(reference);
    }
  });

  it("counts in the reference of its own device where the table is of another one", async () => {
    const references = new References(bus);
    const unit = { deviceKey: "another", seconds: 0.5 };
    expect(await references.figures(measured("own", 10, 0.002), unit)).toMatchObject({
      calibrationReferenceSeconds: 0.002,
    });
  });
});

it("inUnit multiplies every cost of a table, and nothing else", () => {
  const costs = { rows: [1, 2], columns: [2], costs: [1, 5] };
  const row = CandidateCost.fromPartial({ id: "stage1/d1s1", byInput: costs, byOutput: { ...costs, costs: [3, 4] } });
  const table = CostTable.fromPartial({ fixed: 7, device: "cpu", candidates: [row], check: { networks: 12 } });
  const unit = { deviceKey: "a", seconds: 2 };
  expect(inUnit(table, unit)).toEqual({
    ...table,
    ...{ fixed: 14, unit },
    candidates: [{ ...row, byInput: { ...costs, costs: [2, 10] }, byOutput: { ...costs, costs: [6, 8] } }],
  });
});
