import { spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { LatheError } from "../../shared/process/errors";
import type { Guard } from "./guard";

interface ChildOptions {
  /** Name for messages, such as "search service". */
  name: string;
  command: string;
  args: readonly string[];
  env?: NodeJS.ProcessEnv;
  /** The file to which the output of the process is appended. */
  log: string;
  guard: Guard;
}

export interface Child {
  readonly name: string;
  readonly pid: number;
  readonly log: string;
  /** Resolves with "exit code 1" or "killed by SIGKILL" when the process has ended. */
  readonly exited: Promise<string>;
  readonly running: boolean;
  /** Sends SIGTERM, and SIGKILL to its process group after `graceMs`; resolves when the process has ended. */
  stop(graceMs: number): Promise<void>;
  kill(signal: NodeJS.Signals): void;
}

const alive = new Set<number>();
let guarded = false;

function killGroup(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch (error) {
    // ESRCH: the group is empty. EPERM: macOS answers this while the last member is being reaped.
    const { code } = error as NodeJS.ErrnoException;
    if (code !== "ESRCH" && code !== "EPERM") throw error;
  }
}

/** Kills the process group when this process exits. The guard does the same if this process is killed by SIGKILL. */
function killWithUs(pid: number): void {
  if (!guarded) {
    guarded = true;
    process.once("exit", () => alive.forEach(killGroup));
  }
  alive.add(pid);
}

/** Starts a process in its own group. A terminal's Ctrl-C then reaches only the launcher, which stops the processes in order. */
export function startChild({ name, command, args, env, log, guard }: ChildOptions): Child {
  const output = openSync(log, "a");
  let child;
  try {
    child = spawn(command, args, { detached: true, stdio: ["ignore", output, output], ...(env && { env }) });
  } finally {
    closeSync(output);
  }
  const { pid } = child;
  let problem = "";
  const failed = new Promise<string>((resolve) =>
    child.once("error", (error) => resolve((problem = `it cannot be started: ${error.message}`))),
  );
  if (pid === undefined)
    throw new LatheError("FAILED_PRECONDITION", `${name} cannot be started: ${command} does not run here`, {
      reason: "SPAWN_FAILED",
    });
  killWithUs(pid);
  guard.add(pid);
  const ended = new Promise<string>((resolve) =>
    child.once("exit", (code, signal) => {
      // Kill processes that it forked and left behind.
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

/** The last lines of a log, for an error message. JSON lines of a service are shortened to level and message. */
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
    // An incomplete line of a killed process.
    return line;
  }
}
