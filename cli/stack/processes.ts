import { readFileSync } from "node:fs";

/** A process, distinguished from a later one with the same number. */
export interface ProcessId {
  pid: number;
  /** Clock ticks from boot to its start; "" where there is no /proc. */
  started: string;
}

/** A file of /proc; undefined where the process is gone or the system has no /proc. */
function readProc(pid: number, file: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "utf8");
  } catch {
    // Either way there is nothing to read.
    return undefined;
  }
}

/** Fields of /proc/<pid>/stat from the state on; the name before it may hold spaces and brackets. */
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
  // A zombie only waits to be collected.
  return statOf(pid)[0] !== "Z" && identify(pid).started === started;
}

/** The npm that runs us as one of its scripts: our parent, or the parent of the shell in between; undefined without /proc. */
export function npmAbove(): ProcessId | undefined {
  const parent = process.ppid;
  const above = [parent, Number(statOf(parent)[1] ?? 0)];
  const npm = above.find((pid) => pid > 1 && /^npm\b|npm-cli/.test(readProc(pid, "cmdline") ?? ""));
  return npm === undefined ? undefined : identify(npm);
}
