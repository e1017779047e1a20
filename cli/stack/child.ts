import { spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { LatheError } from "../../shared/process/errors";
import type { Guard } from "./guard";

interface ChildOptions {
  /** "nats-server", "search service". */
  name: string;
  command: string;
  args: readonly string[];
  env?: NodeJS.ProcessEnv;
  /** File that takes what the process prints, appended. */
  log: string;
  guard: Guard;
}

export interface Child {
  readonly name: string;
  readonly pid: number;
  readonly log: string;
  /** Resolves with "exit code 1" or "killed by SIGKILL" when the process is gone. */
  readonly exited: Promise<string>;
  readonly running: boolean;
  /** SIGTERM, after the grace SIGKILL to its whole group; resolves when it is gone. */
  stop(graceMs: number): Promise<void>;
  kill(signal: NodeJS.Signals): void;
}

const alive = new Set<number>();
let guarded = false;

function killGroup(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch (error) {
    // ESRCH: the group is empty, as it should be; EPERM: macOS says so while its last member is being reaped.
    const { code } = error as NodeJS.ErrnoException;
    if (code !== "ESRCH" && code !== "EPERM") throw error;
  }
}

/** However this process ends by itself, what it started ends with it; for its SIGKILL there is the guard. */
function killWithUs(pid: number): void {
  if (!guarded) {
    guarded = true;
    process.once("exit", () => alive.forEach(killGroup));
  }
  alive.add(pid);
}

/** Starts a process in a group of its own: a terminal's Ctrl-C reaches the launcher alone, which stops things in their order. */
export function startChild({ name, command, args, env, log, guard }: ChildOptions): Child {
  const output = openSync(log, "a");
  let child;
  try {
    child = spawn(command, args, {
      detached: true,
      stdio: ["ignore", output, output],
      ...(env !== undefined && { env }),
    });
  } finally {
    closeSync(output);
  }
  const { pid } = child;
  let problem = "";
  const failed = new Promise<string>((resolve) =>
    child.once("error", (error) => resolve((problem = `it cannot be started: ${error.message}`))),
  );
  if (pid === undefined) {
    throw new LatheError("FAILED_PRECONDITION", `${name} cannot be started: ${command} does not run here`, {
      reason: "SPAWN_FAILED",
    });
  }
  killWithUs(pid);
  guard.add(pid);
  const ended = new Promise<string>((resolve) =>
    child.once("exit", (code, signal) => {
      // Processes that it forked and left behind, if any.
      killGroup(pid);
      alive.delete(pid);
      guard.drop(pid);
      resolve(problem || (signal === null ? `exit code ${code}` : `killed by ${signal}`));
    }),
  );
  const exited = Promise.race([ended, failed]);
  const running = () => child.exitCode === null && child.signalCode === null;
  return {
    name,
    pid,
    log,
    exited,
    get running() {
      return running();
    },
    async stop(graceMs) {
      if (!running()) return;
      child.kill("SIGTERM");
      const killer = setTimeout(() => killGroup(pid), graceMs);
      await exited;
      clearTimeout(killer);
    },
    kill: (signal) => void child.kill(signal),
  };
}

const tailLines = 8;

/** The last lines of a log, for an error's message; a service's JSON lines are shortened to what they say. */
export function lastLines(log: string, count = tailLines): string {
  let text: string;
  try {
    text = readFileSync(log, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw error;
  }
  const lines = text.trimEnd().split("\n").slice(-count);
  return lines.map((line) => `  ${spoken(line)}`).join("\n");
}

function spoken(line: string): string {
  if (!line.startsWith("{")) return line;
  try {
    const { level, msg } = JSON.parse(line) as { level?: string; msg?: string };
    return msg === undefined ? line : `${level ?? "info"}: ${msg}`;
  } catch {
    // Half a line of a process that was killed in the middle.
    return line;
  }
}
