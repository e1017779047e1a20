import { readdirSync, readFileSync } from "node:fs";
import type { Clock } from "./sampling";

const THREADS = "/proc/self/task";
/** Of the container's control group. */
const THROTTLING = "/sys/fs/cgroup/cpu.stat";

/** The clock of this process. Where the system does not count waits, they are 0. */
export const processClock: Clock = {
  now: () => performance.now(),
  breathe: () => new Promise((resolve) => setImmediate(resolve)),
  waitedMs: () =>
    waitsOf(read(() => readdirSync(THREADS)).map((id) => text(`${THREADS}/${id}/schedstat`))) +
    throttledMs(text(THROTTLING)),
};

/** Milliseconds that threads were ready to run and had no core, by the second field of each schedstat, in nanoseconds. */
export const waitsOf = (schedstats: readonly string[]): number =>
  schedstats.reduce((sum, schedstat) => sum + Number(schedstat.split(" ")[1] ?? 0) / 1e6, 0);

/** Milliseconds that the control group was stopped because it had used up its share, by its cpu.stat. */
export const throttledMs = (stat: string): number => Number(/^throttled_usec (\d+)$/m.exec(stat)?.[1] ?? 0) / 1000;

function read(names: () => string[]): string[] {
  try {
    return names();
  } catch {
    return [];
  }
}

/** A file's text; empty where it is not there. A thread may end while it is read. */
function text(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}
