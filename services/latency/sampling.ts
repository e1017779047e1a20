import { ascending, driftOf, medianOf, spreadOf } from "./statistics";

/** How often a model is run. */
export interface Sampling {
  /** Most runs before the measurement. It begins earlier, once runs no longer drift. */
  warmupRuns: number;
  /** Most runs that are timed. */
  timedRuns: number;
  /** Time in ms after which warm-up and timed runs each end, provided that minimumRuns are done. */
  budgetMs: number;
  minimumRuns: number;
  /** Timed runs end earlier once the median's interval is narrow, but not before so many runs or so many ms. */
  enough: { runs: number; ms: number };
}

/** Clock and event loop of a measurement, and the load of its machine. */
export interface Clock {
  /** Milliseconds, monotonic. */
  now(): number;
  /** Lets the event loop run between two timed runs, so that an abort can arrive. */
  breathe(): Promise<void>;
  /** Begins to count. The returned function gives the milliseconds that computing threads of this process have waited for a core since, or were throttled. */
  waiting(): () => number;
}

/** Time to start a run of a calibration network and to wake its threads, beside the time of its units. */
export interface RunStart {
  /** In units. */
  units: number;
  /** False where it was measured on a busy machine, which cannot tell it. */
  isSure: boolean;
}

/** The pace of the calibration network in quiet moments of a device, as earlier measurements have told it. */
export interface QuietPace {
  start: RunStart;
  /** Seconds of a unit: the shortest median of a stable measurement; undefined before the first. */
  unitSeconds: number | undefined;
}

/** Networks whose time shows the speed of the device at a moment. Each has a number of equal units. */
export interface Calibration {
  /** Units of the networks, ascending. */
  sizes: readonly number[];
  start: RunStart;
  /** A run of the network of this many units. */
  open: (units: number) => Promise<() => Promise<unknown>>;
}

export interface Samples {
  /** Seconds of the timed runs, in order. */
  seconds: Float64Array;
  warmupRuns: number;
  /** False where the warm-up reached a limit while its runs still drifted, or was too short to tell. */
  isWarm: boolean;
  /** Seconds of a unit of the calibration network between the timed runs, in order: means over runs as long as a timed run, less their start. */
  calibration: Float64Array;
  /** That of the calibration network's runs, where there is one. */
  start: RunStart | undefined;
  /** Time of each timed run over that of a unit of the calibration network right after it: the drift of the machine is divided out. Empty without one. */
  paced: Float64Array;
  /** Milliseconds of the timed runs and their calibration, and of the threads' waits meanwhile (Clock.waiting). */
  elapsedMs: number;
  waitedMs: number;
}

const BREATHE_EVERY_MS = 50;
/** Runs of a calibration network before those that count. */
const CALIBRATION_WARM_UP = 4;
/** Runs whose drift tells whether a session is warm. The first runs are several times slower (memory arena, clocks). */
const WARM_WINDOW = 8;
/** Half of the width of the median's interval, as a share of the median, that is narrow enough. */
export const NARROW = 0.02;
/** Runs between two looks at the interval, as a share of the runs done. */
const LOOK_AFTER = 1.25;

/**
 * Durations of the timed runs, after a warm-up that ends when its last 8 runs show no trend (Mann-Kendall). Timed runs end when the 95 %
 * interval of their median is within 2 % of it, or that of their times over the calibration network's, or at a limit. Between them a
 * calibration network runs for about as long as they take together.
 * Rejects with the signal's reason if it aborts.
 */
export async function sampleRuns(
  run: () => Promise<unknown>,
  { warmupRuns, timedRuns, budgetMs, minimumRuns, enough }: Sampling,
  signal: AbortSignal,
  clock: Clock,
  calibration?: Calibration,
): Promise<Samples> {
  let breathed = clock.now();
  const timed = async (what: () => Promise<unknown>): Promise<number> => {
    signal.throwIfAborted();
    const before = clock.now();
    await what();
    const after = clock.now();
    if (after - breathed >= BREATHE_EVERY_MS) {
      await clock.breathe();
      breathed = clock.now();
    }
    return after - before;
  };

  const warm = await warmUp(() => timed(run), { most: warmupRuns, budgetMs, minimumRuns }, clock);
  const pace = calibration && (await paceOf(calibration, timed, medianOf([...warm.recent, await timed(run)])));

  const ms: number[] = [];
  const units: number[] = [];
  const paced: number[] = [];
  const [start, waited] = [clock.now(), clock.waiting()];
  let spent = 0;
  let look = WARM_WINDOW;
  while (ms.length < timedRuns) {
    const elapsed = clock.now() - start;
    if (elapsed >= budgetMs && ms.length >= minimumRuns) break;
    if (ms.length >= look && (ms.length >= enough.runs || elapsed >= enough.ms)) {
      if (isNarrow(ms) || isNarrow(paced)) break;
      look = Math.ceil(ms.length * LOOK_AFTER);
    }
    const last = await timed(run);
    ms.push(last);
    spent += last;
    if (!pace || spent < 0) continue;
    let taken = 0;
    for (let i = 0; i < pace.runs; i++) taken += await timed(pace.run);
    const unit = taken / (pace.runs * pace.units);
    units.push(unit / 1000);
    // Short runs share a calibration.
    for (const run of ms.slice(paced.length)) paced.push(run / unit);
    spent -= taken;
  }
  return {
    seconds: Float64Array.from(ms, (value) => value / 1000),
    warmupRuns: warm.runs,
    isWarm: warm.isWarm,
    calibration: Float64Array.from(units),
    start: calibration?.start,
    paced: Float64Array.from(paced),
    elapsedMs: clock.now() - start,
    waitedMs: waited(),
  };
}

async function warmUp(
  timed: () => Promise<number>,
  { most, budgetMs, minimumRuns }: { most: number; budgetMs: number; minimumRuns: number },
  clock: Clock,
): Promise<{ runs: number; isWarm: boolean; recent: readonly number[] }> {
  const start = clock.now();
  const recent: number[] = [];
  for (let runs = 0; ; runs++) {
    const isWarm = recent.length === WARM_WINDOW && !driftOf(recent).isTrend;
    const isOver = runs >= most || (clock.now() - start >= budgetMs && runs >= minimumRuns);
    if (isWarm || isOver) return { runs, isWarm, recent };
    recent.push(await timed());
    if (recent.length > WARM_WINDOW) recent.shift();
  }
}

/**
 * The calibration network whose run takes most nearly as long as `ms`, and the runs of it that do: what else runs on the machine then delays
 * both alike, and the system wakes their threads equally often.
 */
async function paceOf(
  { sizes, start, open }: Calibration,
  timed: (what: () => Promise<unknown>) => Promise<number>,
  ms: number,
): Promise<{ units: number; runs: number; run: () => Promise<unknown> }> {
  const [smallest = 1] = sizes;
  const warm = async (units: number) => {
    const run = await open(units);
    const each: number[] = [];
    for (let i = 0; i < CALIBRATION_WARM_UP; i++) each.push(await timed(run));
    return { run, ms: medianOf(each) };
  };
  const first = await warm(smallest);
  const distance = (units: number) =>
    Math.abs(Math.log((first.ms * (units + start.units)) / (smallest + start.units) / ms));
  const units = [...sizes].sort((a, b) => distance(a) - distance(b))[0] ?? smallest;
  const { run, ms: each } = units === smallest ? first : await warm(units);
  return { units: units + start.units, run, runs: Math.max(1, Math.round(ms / each)) };
}

const isNarrow = (runs: readonly number[]): boolean => spreadOf(ascending(runs)) <= NARROW;
