import { LatheError } from "../../shared/process/errors";
import { summarise, percentile, sampleRuns, type Clock } from "./measure";

const never = new AbortController().signal;

/** A clock on which each run takes the next duration of a list, in ms. */
function scripted(durations: readonly number[]) {
  let now = 1000;
  let runs = 0;
  let breaths = 0;
  const clock: Clock = {
    now: () => now,
    breathe: () => {
      breaths++;
      return Promise.resolve();
    },
  };
  const run = () => {
    now += durations[runs++] ?? 1;
    return Promise.resolve();
  };
  return { clock, run, runs: () => runs, breaths: () => breaths };
}

describe("percentile, by nearest rank", () => {
  it.each([
    [[7], 50, 7],
    [[1, 2, 3, 4], 50, 2],
    [[1, 2, 3, 4, 5], 50, 3],
    [[1, 2, 3, 4], 51, 3],
    [[1, 2, 3, 4], 100, 4],
    [[15, 20, 35, 40, 50], 30, 20],
    [[15, 20, 35, 40, 50], 40, 20],
    [[15, 20, 35, 40, 50], 1, 15],
  ])("of %j at %d is %d", (sorted, p, expected) => {
    expect(percentile(sorted, p)).toBe(expected);
  });

  it("of 1 to 100 is p itself for every whole p", () => {
    const sorted = Array.from({ length: 100 }, (_, i) => i + 1);
    for (let p = 1; p <= 100; p++) expect(percentile(sorted, p)).toBe(p);
  });

  it.each([0, -1, 101, NaN])("refuses p = %d, and no samples", (p) => {
    expect(() => percentile([1], p)).toThrow(LatheError);
    expect(() => percentile([], 50)).toThrow("0 samples");
  });
});

describe("sampleRuns", () => {
  it("leaves the warm-up out and gives seconds in the order of the runs", async () => {
    const { clock, run, runs } = scripted([900, 800, 4, 2, 3]);
    const samples = await sampleRuns(run, { warmupRuns: 2, timedRuns: 3 }, never, clock);
    expect(Array.from(samples)).toEqual([0.004, 0.002, 0.003]);
    expect(runs()).toBe(5);
  });

  it("ends early at its budget, but not under the minimum", async () => {
    const slow = scripted(new Array<number>(50).fill(100));
    const sampling = { warmupRuns: 5, timedRuns: 40, budgetMs: 250, minimumRuns: 2 };
    expect(await sampleRuns(slow.run, sampling, never, slow.clock)).toHaveLength(3);
    expect(slow.runs()).toBe(6);
    const slower = scripted(new Array<number>(50).fill(1000));
    expect(await sampleRuns(slower.run, sampling, never, slower.clock)).toHaveLength(2);
  });

  it("lets the event loop run about every 50 ms, outside of the timed runs", async () => {
    const { clock, run, breaths } = scripted(new Array<number>(20).fill(10));
    await sampleRuns(run, { warmupRuns: 0, timedRuns: 20 }, never, clock);
    expect(breaths()).toBe(4);
  });

  it("stops between two runs when aborted, with the reason", async () => {
    const stop = new AbortController();
    const why = new LatheError("CANCELLED", "enough");
    let runs = 0;
    const run = () => {
      if (++runs === 3) stop.abort(why);
      return Promise.resolve();
    };
    await expect(sampleRuns(run, { warmupRuns: 1, timedRuns: 9 }, stop.signal)).rejects.toBe(why);
    expect(runs).toBe(3);
  });
});

describe("summarise", () => {
  const conditions = {
    device: "a CPU",
    deviceClass: "cpu",
    runtime: "none",
    precision: "fp32",
    batchSize: 1,
    inputHeight: 8,
    inputWidth: 16,
    threads: 1,
    measuredOn: undefined,
  };

  it("sums samples up without changing them", () => {
    const samples = Float64Array.from([0.5, 0.25, 0.125, 1]);
    expect(summarise(samples, conditions)).toEqual({
      ...conditions,
      runs: 4,
      p50Seconds: 0.25,
      p95Seconds: 1,
      p99Seconds: 1,
      meanSeconds: 0.46875,
      framesPerSecond: 4,
    });
    expect(Array.from(samples)).toEqual([0.5, 0.25, 0.125, 1]);
  });

  it("distinguishes the 95th from the 99th percentile", () => {
    const samples = Array.from({ length: 200 }, (_, i) => 200 - i);
    expect(summarise(samples, conditions)).toMatchObject({ p50Seconds: 100, p95Seconds: 190, p99Seconds: 198 });
  });
});
