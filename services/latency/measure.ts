import { LatheError } from "../../shared/process/errors";
import type { LatencyFigures } from "../../shared/proto/lathe/v1/result";

/** How often a model is run. */
export interface Sampling {
  /** Runs that are not timed: the first runs of a session are several times slower (memory arena, clocks). */
  warmupRuns: number;
  timedRuns: number;
  /** Time in ms after which warm-up and timed runs each end early, provided that minimumRuns are done. Default: no limit. */
  budgetMs?: number;
  minimumRuns?: number;
}

/** Clock and event loop of a measurement. */
export interface Clock {
  /** Milliseconds, monotonic. */
  now(): number;
  /** Lets the event loop run between two timed runs, so that an abort can arrive. */
  breathe(): Promise<void>;
}

const processClock: Clock = {
  now: () => performance.now(),
  breathe: () => new Promise((resolve) => setImmediate(resolve)),
};

const BREATHE_EVERY_MS = 50;

/** Durations of the timed runs in seconds, in order. Rejects with the signal's reason if it aborts. */
export async function sampleRuns(
  run: () => Promise<unknown>,
  { warmupRuns, timedRuns, budgetMs = Infinity, minimumRuns = 1 }: Sampling,
  signal: AbortSignal,
  clock: Clock = processClock,
): Promise<Float64Array> {
  let breathed = clock.now();
  const repeat = async (runs: number, record: (ms: number) => void): Promise<void> => {
    const start = clock.now();
    for (let done = 0; done < runs; done++) {
      signal.throwIfAborted();
      const before = clock.now();
      if (before - start >= budgetMs && done >= minimumRuns) return;
      await run();
      const after = clock.now();
      record(after - before);
      if (after - breathed < BREATHE_EVERY_MS) continue;
      await clock.breathe();
      breathed = clock.now();
    }
  };
  await repeat(warmupRuns, () => {});
  const seconds: number[] = [];
  await repeat(timedRuns, (ms) => seconds.push(ms / 1000));
  return Float64Array.from(seconds);
}

/** The p-th percentile by nearest rank: the smallest that at least p % of the samples do not exceed. `sorted` ascends; 0 < p <= 100. */
export function percentile(sorted: ArrayLike<number>, p: number): number {
  if (!(p > 0 && p <= 100) || sorted.length === 0)
    throw new LatheError("INTERNAL", `percentile ${p} of ${sorted.length} samples: must be in (0, 100] of at least 1`);
  // Multiplied first: 7 / 100 * 100 rounds to a number above 7, and its ceiling would be the next sample.
  const rank = Math.ceil((p * sorted.length) / 100);
  return sorted[rank - 1] ?? Number.NaN;
}

/** Device and settings of a measurement. */
export type Conditions = Pick<
  LatencyFigures,
  | "device"
  | "deviceClass"
  | "runtime"
  | "precision"
  | "batchSize"
  | "inputHeight"
  | "inputWidth"
  | "threads"
  | "measuredOn"
>;

/** Percentiles (nearest rank) and mean of samples in seconds, with the conditions of their measurement. */
export function summarise(samples: ArrayLike<number>, conditions: Conditions): LatencyFigures {
  const sorted = Float64Array.from(samples).sort();
  const p50 = percentile(sorted, 50);
  return {
    ...conditions,
    runs: sorted.length,
    p50Seconds: p50,
    p95Seconds: percentile(sorted, 95),
    p99Seconds: percentile(sorted, 99),
    meanSeconds: sorted.reduce((sum, value) => sum + value, 0) / sorted.length,
    framesPerSecond: 1 / p50,
  };
}
