import { QuietPaces } from "./paces";
import type { RunStart } from "./sampling";

const runtime = { provider: "cpu", threads: 2 } as const;
const sure = (units: number): RunStart => ({ units, isSure: true });

/** A measurement beside a calibration network whose unit takes this many seconds. */
const measured = (unitSeconds: number, start: RunStart | undefined, isWarm = true) => ({
  samples: {
    ...{ seconds: new Float64Array(50).fill(0.1), calibration: new Float64Array(50).fill(unitSeconds) },
    ...{ paced: new Float64Array(), warmupRuns: 9, isWarm, start, elapsedMs: 1000, waitedMs: 0 },
  },
  conditions: {
    ...{ device: "a CPU", deviceClass: "cpu", runtime: "r", precision: "fp32", threads: 2 },
    ...{ batchSize: 1, inputHeight: 8, inputWidth: 8, measuredOn: undefined },
  },
});

describe("the quiet pace of a device", () => {
  it("has the first start of a run, and the shortest unit", () => {
    const paces = new QuietPaces();
    paces.learn(runtime, [measured(3e-3, sure(0.3)), measured(2e-3, sure(0.1)), measured(4e-3, sure(0.2))]);
    expect(paces.of(runtime)).toEqual({ start: sure(0.3), unitSeconds: 2e-3 });
  });

  it("is learned neither from an unstable measurement nor from a busy machine", () => {
    const paces = new QuietPaces();
    paces.learn(runtime, [measured(1e-3, sure(0.3), false), measured(1e-3, { units: 0.2, isSure: false })]);
    paces.learn(runtime, [measured(1e-3, undefined)]);
    expect(paces.of(runtime)).toBeUndefined();
  });

  it("is that of a provider and its threads", () => {
    const paces = new QuietPaces();
    paces.learn(runtime, [measured(2e-3, sure(0.3))]);
    expect(paces.of({ ...runtime, threads: 1 })).toBeUndefined();
    expect(paces.of({ ...runtime, provider: "cuda" })).toBeUndefined();
  });
});
