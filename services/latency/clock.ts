import { readdirSync } from "node:fs";
import { readText } from "./cpu";
import type { Clock } from "./sampling";

const THREADS = "/proc/self/task";
/** The file in which the container's control group counts its throttling. */
const THROTTLING = "/sys/fs/cgroup/cpu.stat";

/** The clock of this process. Where the system does not count waits, they are 0. */
export const processClock: Clock = {
  now: () => performance.now(),
  breathe: () => new Promise((resolve) => setImmediate(resolve)),
  waitedMs: () =>
    waitsOf(threads().map((id) => readText(`${THREADS}/${id}/schedstat`))) + throttledMs(readText(THROTTLING)),
};

/** Milliseconds that threads were ready to run and had no core, by the second field of each schedstat, in nanoseconds. */
export const waitsOf = (schedstats: readonly string[]): number =>
  schedstats.reduce((sum, schedstat) => sum + Number(schedstat.split(" ")[1] ?? 0) / 1e6, 0);

/** Milliseconds that the control group was stopped because it had used up its share, by its cpu.stat. */
export const throttledMs = (stat: string): number => Number(/^throttled_usec (\d+)$/m.exec(stat)?.[1] ?? 0) / 1000;

/** Ids of this process's threads. One may end before its file is read. */
function threads(): string[] {
  try {
    return readdirSync(THREADS);
  } catch {
    return [];
  }
}
