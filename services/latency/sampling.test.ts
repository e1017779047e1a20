import { LatheError } from "../../shared/process/errors";
import { sampleRuns, type Calibration, type Clock, type Sampling } from "./sampling";

const never = new AbortController().signal;
const all: Sampling = {
  ...{ warmupRuns: 0, timedRuns: 1000, budgetMs: Infinity, minimumRuns: 1 },
  enough: { runs: Infinity, ms: Infinity },
};

/** A clock on which the run after n others takes the n-th duration, or that of a function, in ms. */
function scripted(durations: readonly number[] | ((n: number) => number)) {
  let now = 1000;
  let waited = 0;
  const counts = { runs: 0, breaths: 0 };
  const clock: Clock = {
    now: () => now,
    breathe: () => {
      counts.breaths++;
      return Promise.resolve();
    },
    waiting: () => {
      const before = waited;
      return () => waited - before;
    },
  };
  const run = () => {
    const n = counts.runs++;
    now += typeof durations === "function" ? durations(n) : (durations[n] ?? 1);
    return Promise.resolve();
  };
  const other =
    (ms: number, waits = 0) =>
    () => {
      now += ms;
      waited += waits;
      return Promise.resolve();
    };
  return { clock, run, other, counts };
}
/** A calibration network of one unit. */
const single = (run: () => Promise<unknown>): Calibration => ({
  sizes: [1],
  start: { units: 0, isSure: true },
  open: () => Promise.resolve(run),
});
const seconds = (ms: readonly number[]) => ms.map((value) => value / 1000);

describe("warm-up", () => {
  it("is left out, and lasts as long as runs become faster", async () => {
    // From the 20th run on, even and odd runs take turns, which is no trend.
    const { clock, run } = scripted((n) => (n < 20 ? 50 - 2 * n : 10 + (n % 2)));
    const samples = await sampleRuns(run, { ...all, warmupRuns: 100, timedRuns: 4 }, never, clock);
    expect(samples.isWarm).toBe(true);
    expect(samples.warmupRuns).toBeGreaterThan(20);
    expect(samples.warmupRuns).toBeLessThan(30);
    expect(Math.max(...samples.seconds)).toBeLessThanOrEqual(0.011);
  });

  it("ends at its limit of runs or of time, and says that it was not over", async () => {
    const slower = (n: number) => 100 + n;
    const limited = scripted(slower);
    const few = await sampleRuns(limited.run, { ...all, warmupRuns: 12, timedRuns: 1 }, never, limited.clock);
    expect(few).toMatchObject({ warmupRuns: 12, isWarm: false });
    const timed = scripted(slower);
    const short = { ...all, warmupRuns: 100, timedRuns: 1, budgetMs: 450 };
    expect(await sampleRuns(timed.run, short, never, timed.clock)).toMatchObject({ warmupRuns: 5, isWarm: false });
    const none = scripted([5]);
    expect(await sampleRuns(none.run, { ...all, timedRuns: 1 }, never, none.clock)).toMatchObject({ isWarm: false });
  });
});

describe("timed runs", () => {
  it("are given in seconds, in their order", async () => {
    const { clock, run } = scripted([4, 2, 3]);
    const samples = await sampleRuns(run, { ...all, timedRuns: 3 }, never, clock);
    expect(Array.from(samples.seconds)).toEqual(seconds([4, 2, 3]));
    expect(samples.elapsedMs).toBe(9);
  });

  it("end at the budget, but not under the minimum", async () => {
    const slow = scripted(() => 100);
    const sampling = { ...all, timedRuns: 40, budgetMs: 250, minimumRuns: 2 };
    expect((await sampleRuns(slow.run, sampling, never, slow.clock)).seconds).toHaveLength(3);
    const slower = scripted(() => 1000);
    expect((await sampleRuns(slower.run, sampling, never, slower.clock)).seconds).toHaveLength(2);
  });

  it("end once the median is known to 2 %, after enough runs or enough time", async () => {
    const even = scripted((n) => 100 + (n % 3));
    const byRuns = await sampleRuns(even.run, { ...all, enough: { runs: 20, ms: Infinity } }, never, even.clock);
    expect(byRuns.seconds.length).toBe(20);
    const again = scripted((n) => 100 + (n % 3));
    const byTime = await sampleRuns(again.run, { ...all, enough: { runs: Infinity, ms: 3000 } }, never, again.clock);
    expect(byTime.seconds.length).toBe(30);
    // Half of the runs take twice as long: the interval of the median never becomes narrow.
    const uneven = scripted((n) => (n % 2 === 0 ? 100 : 200));
    const sampling = { ...all, timedRuns: 200, enough: { runs: 8, ms: 0 } };
    expect((await sampleRuns(uneven.run, sampling, never, uneven.clock)).seconds).toHaveLength(200);
  });

  it("take turns with calibrations in groups of their length, which take as long together", async () => {
    const { clock, run, other, counts } = scripted(() => 10);
    const samples = await sampleRuns(run, { ...all, timedRuns: 20 }, never, clock, single(other(2, 0.5)));
    expect(samples.seconds).toHaveLength(20);
    expect(counts.runs).toBe(21);
    // Five calibrations of 2 ms are as long as a run of 10 ms.
    expect(samples.calibration).toHaveLength(20);
    for (const value of samples.calibration) expect(value).toBeCloseTo(0.002, 12);
    expect(samples.elapsedMs).toBeCloseTo(400, 9);
    expect(samples.waitedMs).toBeCloseTo(50, 9);
  });

  it.each([
    ["the nearest network", 30, 16],
    ["the smallest where all are longer", 1, 4],
    ["the largest where all are shorter", 900, 64],
  ])("take turns with %s, and count its time by units", async (_name, ms, units) => {
    const { clock, run, other } = scripted(() => ms);
    const opened: number[] = [];
    const calibration: Calibration = {
      sizes: [4, 16, 64],
      start: { units: 0.5, isSure: true },
      open: (size) => {
        opened.push(size);
        return Promise.resolve(other(2 * (size + 0.5)));
      },
    };
    const samples = await sampleRuns(run, { ...all, timedRuns: 20 }, never, clock, calibration);
    expect(opened.at(-1)).toBe(units);
    expect(samples.calibration.length).toBeGreaterThan(2);
    for (const value of samples.calibration) expect(value).toBeCloseTo(0.002, 12);
    for (const ratio of samples.paced) expect(ratio).toBeCloseTo(ms / 2, 9);
  });

  it("end once the times over the calibration network's are known to 2 %, however the machine drifts", async () => {
    // From run to run the machine takes 2 % longer.
    let runs = 0;
    let now = 0;
    const pass = (ms: number) => () => {
      now += ms * 1.02 ** runs;
      return Promise.resolve();
    };
    const clock = { now: () => now, breathe: () => Promise.resolve(), waiting: () => () => 0 };
    const run = () => {
      runs++;
      return pass(100)();
    };
    const sampling = { ...all, timedRuns: 60, enough: { runs: 10, ms: Infinity } };
    const { seconds, paced } = await sampleRuns(run, sampling, never, clock, single(pass(50)));
    expect([seconds.length, paced.length]).toEqual([10, 10]);
    for (const ratio of paced) expect(ratio).toBeCloseTo(2, 9);
    runs = 0;
    expect((await sampleRuns(run, sampling, never, clock)).seconds).toHaveLength(60);
  });

  it("of short networks share a group of calibrations", async () => {
    const { clock, run, other } = scripted(() => 1);
    const { paced } = await sampleRuns(run, { ...all, timedRuns: 20 }, never, clock, single(other(4)));
    expect(paced.length).toBeGreaterThan(15);
    for (const ratio of paced) expect(ratio).toBeCloseTo(0.25, 9);
  });

  it("let the event loop run about every 50 ms", async () => {
    const { clock, run, counts } = scripted(() => 10);
    await sampleRuns(run, { ...all, timedRuns: 20 }, never, clock);
    expect(counts.breaths).toBe(4);
  });

  it("stop between two runs when aborted, with the reason", async () => {
    const stop = new AbortController();
    const why = new LatheError("CANCELLED", "enough");
    const { clock, counts, run } = scripted(() => 1);
    const third = () => {
      if (counts.runs === 2) stop.abort(why);
      return run();
    };
    await expect(sampleRuns(third, { ...all, timedRuns: 9 }, stop.signal, clock)).rejects.toBe(why);
    expect(counts.runs).toBe(3);
  });
});
