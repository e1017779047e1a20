import { mkdirSync, readdirSync } from "node:fs";
import { LatheError } from "../../shared/process/errors";

const maxNumbers = 10_000;

/**
 * Takes a folder for one run. What is there is never overwritten: where `wanted` holds something already, "<wanted>-2", "-3"
 * and so on is made. `claim` (a folder inside, made exclusively) settles who gets an empty one when two start at once.
 */
export function takeOutFolder(wanted: string, claim = "logs"): string {
  for (let number = 1; number <= maxNumbers; number++) {
    const folder = number === 1 ? wanted : `${wanted}-${number}`;
    try {
      mkdirSync(folder, { recursive: true });
      if (readdirSync(folder).length > 0) continue;
      mkdirSync(`${folder}/${claim}`);
      return folder;
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      // EEXIST: a file of that name, or another run was faster.
      if (code === "EEXIST" && number > 1) continue;
      if (code === "EEXIST" && isFolder(folder)) continue;
      const advice =
        code === "ENOSPC" ? "the disk is full; free some space" : "give a folder that can be written with --out";
      throw new LatheError("FAILED_PRECONDITION", `result folder ${folder} cannot be made (${message}): ${advice}`, {
        reason: "OUT_UNUSABLE",
        cause: error,
      });
    }
  }
  throw new LatheError("FAILED_PRECONDITION", `${wanted} and its ${maxNumbers} numbered successors are all taken`);
}

function isFolder(path: string): boolean {
  try {
    readdirSync(path);
    return true;
  } catch {
    // A file, or gone: the caller's error says so.
    return false;
  }
}
