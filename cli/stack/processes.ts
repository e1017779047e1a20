import { readFileSync } from "node:fs";

/** Identifies a process, also against a later one with the same id. */
export interface ProcessId {
  pid: number;
  /** Start time in clock ticks since boot; "" without /proc. */
  started: string;
}

/** A file of /proc; undefined if the process has ended or the system has no /proc. */
function readProc(pid: number, file: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "utf8");
  } catch {
    // The process has ended, or there is no /proc.
    return undefined;
  }
}

/** The fields of /proc/<pid>/stat from the state on. The name before it may contain spaces and brackets. */
function statOf(pid: number): string[] {
  const stat = readProc(pid, "stat") ?? "";
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
}

export function identify(pid: number): ProcessId {
  return { pid, started: statOf(pid)[19] ?? "" };
}

export function isAlive({ pid, started }: ProcessId): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") return false;
  }
  // A zombie has ended.
  return statOf(pid)[0] !== "Z" && identify(pid).started === started;
}

/** The npm that runs this process as a script: the parent, or the parent of the shell in between; undefined without /proc. */
export function npmAbove(): ProcessId | undefined {
  const parent = process.ppid;
  const above = [parent, Number(statOf(parent)[1] ?? 0)];
  const npm = above.find((pid) => pid > 1 && /^npm\b|npm-cli/.test(readProc(pid, "cmdline") ?? ""));
  return npm === undefined ? undefined : identify(npm);
}
