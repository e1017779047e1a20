import { readdirSync } from "node:fs";
import { readText } from "./cpu";
import type { Clock } from "./sampling";

const THREADS = "/proc/self/task";
/** The file in which the container's control group counts its throttling. */
const THROTTLING = "/sys/fs/cgroup/cpu.stat";
/** A thread that ran for less than this share of the time of the busiest one does not compute. */
const COMPUTES = 0.1;

/** The clock of this process. Where the system does not count waits, they are 0. */
export const processClock: Clock = {
  now: () => performance.now(),
  breathe: () => new Promise((resolve) => setImmediate(resolve)),
  waiting: () => {
    const [threads, throttled] = [threadTimes(), throttledMs(readText(THROTTLING))];
    return () => waitsBetween(threads, threadTimes()) + throttledMs(readText(THROTTLING)) - throttled;
  },
};

/** The schedstat of each thread, by its id: "<ns that it ran> <ns that it was ready to run and had no core> <time slices>". */
type ThreadTimes = ReadonlyMap<string, string>;

/**
 * Milliseconds that the threads that compute were ready to run and had no core. Those of JavaScript's garbage collection wait often, but no run
 * waits for them.
 */
export function waitsBetween(before: ThreadTimes, after: ThreadTimes): number {
  const times = (schedstat = "") => schedstat.split(" ").map((field) => Number(field) / 1e6);
  const changes = [...after].map(([id, schedstat]) => {
    const [[ran = 0, waited = 0], [ranBefore = 0, waitedBefore = 0]] = [times(schedstat), times(before.get(id))];
    return { ran: ran - ranBefore, waited: waited - waitedBefore };
  });
  const most = Math.max(0, ...changes.map(({ ran }) => ran || 0));
  return changes.reduce((sum, { ran, waited }) => (ran >= COMPUTES * most ? sum + (waited || 0) : sum), 0);
}

/** Milliseconds that the control group was stopped because it had used up its share, by its cpu.stat. */
export const throttledMs = (stat: string): number => Number(/^throttled_usec (\d+)$/m.exec(stat)?.[1] ?? 0) / 1000;

/** Reads the times of this process's threads. One may end before its file is read. */
function threadTimes(): ThreadTimes {
  try {
    return new Map(readdirSync(THREADS).map((id) => [id, readText(`${THREADS}/${id}/schedstat`)]));
  } catch {
    return new Map();
  }
}
