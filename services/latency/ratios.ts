import { createHash } from "node:crypto";
import { setImmediate as breathe } from "node:timers/promises";
import type { Stopwatch, Timing } from "./timer";

/** The measurements of a model on one device, in their order. */
export interface Fragment {
  rounds: readonly Timing[];
}

/** Every model is timed once per round. */
export const ROUNDS = 2;
/** Rounds of a model whose every measurement was disturbed, and rounds that a fragment keeps. */
const MOST_ROUNDS = 5;
/** A measurement is disturbed where the calibration network took more than this many times its shortest time. */
const SLOWED = 1.1;

/** A fragment after one more measurement. */
export const withTiming = (known: Fragment | undefined, timing: Timing): Fragment => ({
  rounds: [...(known?.rounds ?? []), timing].slice(-MOST_ROUNDS),
});

/** The shortest time of a unit of the calibration network in the measurements of some fragments; Infinity without one. */
const shortest = (fragments: readonly (Fragment | undefined)[]): number =>
  Math.min(...fragments.flatMap((fragment) => fragment?.rounds.map(({ calibration }) => calibration) ?? []));

const isDisturbed = (calibration: number, fastest: number): boolean => calibration > SLOWED * fastest;

/**
 * The geometric mean of the rounds that were not disturbed, where `fastest` is the shortest time of a unit of the calibration network. Where all
 * were, it is that of the rounds that were disturbed least.
 */
export function ratioOf(fragment: Fragment, fastest: number): number {
  const own = shortest([fragment]);
  const least = isDisturbed(own, fastest) ? own : fastest;
  const spared = fragment.rounds.filter(({ calibration }) => !isDisturbed(calibration, least));
  return spared.reduce((product, { ratio }) => product * ratio, 1) ** (1 / spared.length);
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

/**
 * Time of a run of each model over that of a unit of the calibration network. Only what the parent does not know is measured: what a measurement
 * that was killed has left, and equal models once. `progress` is called with the measurements that are done, but for
 * those of a model that was disturbed in every round. `before` is the shortest time of a unit of the calibration network in earlier measurements
 * for the same table, and `fastest` of the result is that after these.
 */
export async function ratiosOf(
  models: readonly (() => Uint8Array)[],
  stopwatch: Stopwatch,
  calls: Pick<FragmentCalls, "known" | "keep">,
  signal: AbortSignal,
  progress: (done: number) => void,
  before = Infinity,
): Promise<{ ratios: number[]; fastest: number }> {
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
  const done = () => keys.reduce((sum, key) => sum + Math.min(ROUNDS, fragments.get(key)?.rounds.length ?? 0), 0);
  progress(done());
  const fastest = () => Math.min(before, shortest([...fragments.values()]));
  const isDue = ([key]: readonly [string, ...unknown[]]): boolean => {
    const fragment = fragments.get(key);
    const rounds = fragment?.rounds.length ?? 0;
    return rounds < ROUNDS || (rounds < MOST_ROUNDS && isDisturbed(shortest([fragment]), fastest()));
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
  const ratios = keys.map((key) => {
    const fragment = fragments.get(key);
    return fragment ? ratioOf(fragment, fastest()) : Number.NaN;
  });
  return { ratios, fastest: fastest() };
}
