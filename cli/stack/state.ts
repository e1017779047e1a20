import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { LatheError } from "../../shared/process/errors";
import { identify, isAlive, type ProcessId } from "./processes";

/** The folder of a local stack: nats/ (all searches), logs/ and run/ (ready files and stack.json with the addresses). */
export interface StateFolder {
  readonly folder: string;
  path(...parts: string[]): string;
  /** Releases the folder for the next stack. */
  release(): void;
}

function readOwner(file: string): ProcessId | undefined {
  try {
    return JSON.parse(readFileSync(file, "utf8")) as ProcessId;
  } catch {
    // Missing, or not completely written yet.
    return undefined;
  }
}

/** The running process whose stack uses a folder; undefined where none does. */
export function stackOwner(folder: string): ProcessId | undefined {
  const owner = readOwner(join(folder, "run", "owner.json"));
  return owner && isAlive(owner) ? owner : undefined;
}

/** Locks a folder for one stack. FAILED_PRECONDITION if a running stack uses it or if it is not writable. */
export function takeStateFolder(folder: string): StateFolder {
  const path = (...parts: string[]) => join(folder, ...parts);
  const lock = path("run", "owner.json");
  const own = JSON.stringify(identify(process.pid));
  try {
    for (const part of ["run", "logs", "nats"]) mkdirSync(path(part), { recursive: true });
    for (let attempt = 0; ; attempt++) {
      try {
        writeFileSync(lock, own, { flag: "wx" });
        break;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EEXIST" || attempt > 0) throw error;
      }
      const owner = stackOwner(folder);
      if (owner)
        throw new LatheError(
          "FAILED_PRECONDITION",
          `${folder} is in use by a running stack (pid ${owner.pid}); stop it or choose another folder`,
          { reason: "STATE_IN_USE" },
        );
      rmSync(lock, { force: true });
    }
  } catch (error) {
    if (error instanceof LatheError) throw error;
    const { code = "", message } = error as NodeJS.ErrnoException;
    const advice = code === "ENOSPC" ? "the disk is full; free some space" : "give a folder that can be written";
    throw new LatheError("FAILED_PRECONDITION", `${folder} cannot hold the state of a stack (${message}): ${advice}`, {
      reason: "STATE_UNUSABLE",
      cause: error,
    });
  }
  // Remove files that a killed stack left behind.
  for (const file of readdirSync(path("run"))) if (path("run", file) !== lock) rmSync(path("run", file));
  return {
    folder,
    path,
    release() {
      rmSync(path("run"), { recursive: true, force: true });
    },
  };
}
