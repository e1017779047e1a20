import { createHash } from "node:crypto";
import { setImmediate as breathe } from "node:timers/promises";
import type { Timer } from "./timer";

/** What is known of a model's time on one device. */
export interface Fragment {
  /** Lowest time of a run in all measurements, over that of the calibration network meanwhile. */
  ratio: number;
  /** Measurements. */
  rounds: number;
}

/** The calls of a measurement of operators to its parent, which keeps the fragments. */
export interface FragmentCalls {
  /** The fragments of these keys; undefined for each that is not known, or is too old. */
  known(keys: readonly string[]): Promise<(Fragment | undefined)[]>;
  /** Adds a measurement to a fragment, and returns it. */
  keep(key: string, ratio: number): Promise<Fragment>;
  /** A notice: measurements that are done or were known, and all. */
  progress(done: number, of: number): void;
}

/** Every model is timed once per round, and its lowest time counts: other load only adds time, and rarely in both rounds. */
export const ROUNDS = 2;

/**
 * Time of a run of each model over that of the calibration network. Only what the parent does not know is measured: what a measurement
 * that was killed has left, and equal models once. `progress` is called with the measurements that are done.
 */
export async function ratiosOf(
  models: readonly (() => Uint8Array)[],
  timer: Pick<Timer, "key" | "ratio">,
  calls: Pick<FragmentCalls, "known" | "keep">,
  signal: AbortSignal,
  progress: (done: number) => void,
): Promise<number[]> {
  const keys: string[] = [];
  for (const model of models) {
    // An abort arrives between two models.
    await breathe();
    signal.throwIfAborted();
    keys.push(`${timer.key}.${createHash("sha256").update(model()).digest("hex")}`);
  }
  const distinct = [...new Map(keys.map((key, i) => [key, models[i] as () => Uint8Array]))];
  const known = await calls.known(distinct.map(([key]) => key));
  const fragments = new Map(distinct.map(([key], i) => [key, known[i]]));
  const done = () => keys.reduce((sum, key) => sum + Math.min(ROUNDS, fragments.get(key)?.rounds ?? 0), 0);
  progress(done());
  for (let round = 0; round < ROUNDS; round++)
    // Models are built one by one: all at once would not fit into memory.
    for (const [key, model] of distinct) {
      if ((fragments.get(key)?.rounds ?? 0) > round) continue;
      signal.throwIfAborted();
      fragments.set(key, await calls.keep(key, await timer.ratio(model(), signal)));
      progress(done());
    }
  return keys.map((key) => fragments.get(key)?.ratio ?? Number.NaN);
}
