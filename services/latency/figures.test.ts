import { summarise } from "./figures";
import type { Samples } from "./sampling";

const conditions = {
  device: "a CPU",
  deviceClass: "cpu",
  runtime: "none",
  precision: "fp32",
  batchSize: 2,
  inputHeight: 8,
  inputWidth: 16,
  threads: 2,
  measuredOn: undefined,
};
const even = Float64Array.from({ length: 40 }, (_, i) => 0.1 + 0.0001 * (i % 2));
const samples: Samples = {
  ...{ seconds: even, warmupRuns: 9, isWarm: true, elapsedMs: 4000, waitedMs: 0, start: undefined },
  calibration: Float64Array.of(0.002, 0.003, 0.002),
  paced: new Float64Array(),
};
const reasons = (changes: Partial<Samples>, reference?: number) =>
  summarise({ ...samples, ...changes }, conditions, reference).unstableBecause;

describe("the figures of a measurement", () => {
  it("sum samples up without changing them", () => {
    const seconds = Float64Array.from([0.5, 0.25, 0.125, 1]);
    const figures = summarise({ ...samples, seconds }, conditions);
    expect(figures).toMatchObject({
      ...conditions,
      ...{ runs: 4, warmupRuns: 9, outliers: 0, driftRatio: 0 },
      ...{ p50Seconds: 0.25, p90Seconds: 1, p95Seconds: 1, p99Seconds: 1, meanSeconds: 0.46875 },
      ...{ p50LowSeconds: 0, p50HighSeconds: 0, framesPerSecond: 8 },
    });
    expect(Array.from(seconds)).toEqual([0.5, 0.25, 0.125, 1]);
  });

  it("distinguish the percentiles", () => {
    const seconds = Float64Array.from({ length: 200 }, (_, i) => 200 - i);
    expect(summarise({ ...samples, seconds }, conditions)).toMatchObject({
      ...{ p50Seconds: 100, p90Seconds: 180, p95Seconds: 190, p99Seconds: 198 },
      // Ranks 86 and 115: P(Bin(200, 1/2) < 86) = 0.020, of 87 it is 0.028.
      ...{ p50LowSeconds: 86, p50HighSeconds: 115 },
    });
  });

  it("divide the drift of the machine out of p50 by the calibration network", () => {
    const alone = summarise(samples, conditions);
    expect(alone).toMatchObject({ calibrationSeconds: 0.002, calibrationReferenceSeconds: 0.002 });
    expect(alone.calibratedP50Seconds).toBeCloseTo(alone.p50Seconds, 12);
    expect(summarise(samples, conditions, 0.001).calibratedP50Seconds).toBeCloseTo(0.05, 12);
    // A faster calibration than ever before is the new reference.
    expect(summarise(samples, conditions, 0.004).calibratedP50Seconds).toBeCloseTo(alone.p50Seconds, 12);
    // Another program delays most runs of both, by different factors, and spares some.
    const delayed = {
      seconds: Float64Array.from({ length: 40 }, (_, i) => (i % 4 === 0 ? 0.2 : 0.5)),
      calibration: Float64Array.from({ length: 40 }, (_, i) => (i % 4 === 0 ? 0.004 : 0.02)),
    };
    expect(summarise({ ...samples, ...delayed }, conditions, 0.002).calibratedP50Seconds).toBeCloseTo(0.1, 12);
    // On a busy machine it spares one run in forty.
    const busy = {
      seconds: Float64Array.from({ length: 80 }, (_, i) => (i % 40 === 7 ? 0.2 : 0.5)),
      calibration: Float64Array.from({ length: 80 }, (_, i) => (i % 40 === 9 ? 0.004 : 0.02)),
    };
    // Bounds: 2 threads that wait 5 % of 4 s.
    const calibrated = (waitedMs: number) =>
      summarise({ ...samples, ...busy, waitedMs }, conditions, 0.002).calibratedP50Seconds;
    expect(calibrated(401)).toBeCloseTo(0.1, 12);
    expect(calibrated(399)).toBeCloseTo(0.05, 12);
    const without = summarise({ ...samples, calibration: new Float64Array() }, conditions, 0.001);
    expect(without).toMatchObject({ calibrationSeconds: 0, calibratedP50Seconds: without.p50Seconds });
  });
});

describe("a measurement is unstable, with the reason,", () => {
  it.each<[string, Partial<Samples>, number | undefined, string[]]>([
    ["never where nothing tells against it", {}, 0.00195, []],
    ["if its warm-up was cut", { isWarm: false }, undefined, ["after a warm-up of 9 runs the runs were not yet even"]],
    [
      "if it has few runs",
      { seconds: even.slice(0, 5) },
      undefined,
      ["5 runs cannot tell how well the median is known, at least 6 can"],
    ],
    [
      "if its threads waited",
      { waitedMs: 800 },
      undefined,
      ["the threads waited 10.0 % of the time for a core: the machine is busy"],
    ],
    [
      "if the calibration network was slow",
      {},
      0.001,
      ["the calibration network took 2.00 times as long as on the quiet device"],
    ],
    [
      "if it drifts",
      { seconds: Float64Array.from({ length: 101 }, (_, i) => 0.1 + 0.0002 * i) },
      undefined,
      // Ranks 41 and 61 lie 10 runs from the median on either side: 0.002 of 0.11.
      ["the runs became 18.2 % slower from first to last"],
    ],
    [
      "if it has a long tail",
      { seconds: Float64Array.from({ length: 40 }, (_, i) => (i % 10 === 0 ? 0.4 : 0.1)) },
      undefined,
      ["p95 is 4.0 times p50"],
    ],
  ])("%s", (_when, changes, reference, expected) => {
    expect(reasons(changes, reference)).toEqual(expected);
    expect(summarise({ ...samples, ...changes }, conditions, reference).stable).toBe(expected.length === 0);
  });

  it("not where the machine drifts, and the calibration network with it", () => {
    const seconds = Float64Array.from({ length: 100 }, (_, i) => 0.1 + 0.0004 * i);
    expect(reasons({ seconds })).toHaveLength(2);
    expect(reasons({ seconds, paced: new Float64Array(100).fill(50) })).toEqual([]);
    // It is told all the same.
    expect(
      summarise({ ...samples, seconds, paced: new Float64Array(100).fill(50) }, conditions).driftRatio,
    ).toBeGreaterThan(0.2);
    const paced = Float64Array.from({ length: 100 }, (_, i) => 50 + 0.1 * i);
    expect(reasons({ paced })).toEqual([
      "the runs became 18.0 % slower from first to last, beside the calibration network",
    ]);
  });

  it("if its median is not known well", () => {
    const seconds = Float64Array.from({ length: 20 }, (_, i) => (i % 2 === 0 ? 0.1 : 0.14));
    // Ranks 6 and 15 of 20 are 0.1 and 0.14: 0.02 either side, of 0.1.
    expect(reasons({ seconds })).toEqual(["the median of 20 runs is known to 20.0 % only, must be 2.0 %"]);
  });
});
