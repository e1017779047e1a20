import { createHash } from "node:crypto";
import { setImmediate as breathe } from "node:timers/promises";
import type { Stopwatch, Timing } from "./timer";

/** What the measurements of a model on one device tell, and their number. */
export interface Fragment extends Timing {
  rounds: number;
}

/** A measurement is disturbed where the calibration network was slower than this share of its fastest. */
const SLOWED = 1.1;

/** A fragment after one more measurement: the geometric mean of both, or the other where one was disturbed. */
export function withTiming(known: Fragment | undefined, timing: Timing): Fragment {
  if (!known) return { ...timing, rounds: 1 };
  const rounds = known.rounds + 1;
  if (known.calibration > SLOWED * timing.calibration) return { ...timing, rounds };
  if (timing.calibration > SLOWED * known.calibration) return { ...known, rounds };
  const calibration = Math.min(known.calibration, timing.calibration);
  return { ratio: Math.sqrt(known.ratio * timing.ratio), calibration, rounds };
}

/** The calls of a measurement of operators to its parent, which keeps the fragments. */
export interface FragmentCalls {
  /** The fragments of these keys; undefined for each that is not known, or is too old. */
  known(keys: readonly string[]): Promise<(Fragment | undefined)[]>;
  /** Adds a measurement to a fragment, and returns it. */
  keep(key: string, timing: Timing): Promise<Fragment>;
  /** A notice: measurements that are done or were known, and all. */
  progress(done: number, of: number): void;
}

/** Every model is timed once per round. Other programs rarely disturb it in both. */
export const ROUNDS = 2;
/** Rounds of a model whose every measurement was disturbed. */
const MOST_ROUNDS = 5;

/**
 * Time of a run of each model over that of a unit of the calibration network. Only what the parent does not know is measured: what a measurement
 * that was killed has left, and equal models once. `progress` is called with the measurements that are done, but for
 * those of a model that was disturbed in every round.
 */
export async function ratiosOf(
  models: readonly (() => Uint8Array)[],
  stopwatch: Stopwatch,
  calls: Pick<FragmentCalls, "known" | "keep">,
  signal: AbortSignal,
  progress: (done: number) => void,
): Promise<number[]> {
  const keys: string[] = [];
  for (const model of models) {
    // An abort arrives between two models.
    await breathe();
    signal.throwIfAborted();
    keys.push(`${stopwatch.key}.${createHash("sha256").update(model()).digest("hex")}`);
  }
  const distinct = [...new Map(keys.map((key, i) => [key, models[i] as () => Uint8Array]))];
  const known = await calls.known(distinct.map(([key]) => key));
  const fragments = new Map(distinct.map(([key], i) => [key, known[i]]));
  const done = () => keys.reduce((sum, key) => sum + Math.min(ROUNDS, fragments.get(key)?.rounds ?? 0), 0);
  progress(done());
  const isDue = ([key]: readonly [string, ...unknown[]]): boolean => {
    const { rounds = 0, calibration = Infinity } = fragments.get(key) ?? {};
    const fastest = Math.min(...[...fragments.values()].map((each) => each?.calibration ?? Infinity));
    return rounds < ROUNDS || (rounds < MOST_ROUNDS && calibration > SLOWED * fastest);
  };
  // Until none is due: the same measurement later finds nothing to do.
  for (let due = distinct; due.length > 0; due = distinct.filter(isDue))
    // Models are built one by one: all at once would not fit into memory.
    for (const [key, model] of due) {
      if (!isDue([key])) continue;
      signal.throwIfAborted();
      fragments.set(key, await calls.keep(key, await stopwatch.time(model(), signal)));
      progress(done());
    }
  return keys.map((key) => fragments.get(key)?.ratio ?? Number.NaN);
}
