import { mkdirSync, readdirSync } from "node:fs";
import { LatheError } from "../../shared/process/errors";

const maxNumbers = 10_000;

const numbered = (wanted: string, number: number) => (number === 1 ? wanted : `${wanted}-${number}`);

/**
 * Creates the folder of one run. Existing files are never overwritten: if `wanted` is not empty, "<wanted>-2", "-3" and so on is used.
 * Two runs that start at once both try to create the subfolder `claim`; only one succeeds.
 */
export function takeOutFolder(wanted: string, claim = "logs"): string {
  for (let number = 1; number <= maxNumbers; number++) {
    const folder = numbered(wanted, number);
    try {
      mkdirSync(folder, { recursive: true });
      if (readdirSync(folder).length > 0) continue;
      mkdirSync(`${folder}/${claim}`);
      return folder;
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      // EEXIST: a file has this name, or another run was faster.
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

/** The folders that takeOutFolder has passed over before it took `taken`. */
export function passedOver(wanted: string, taken: string): string[] {
  const folders: string[] = [];
  for (let number = 1; number <= maxNumbers && numbered(wanted, number) !== taken; number++)
    folders.push(numbered(wanted, number));
  return folders;
}

function isFolder(path: string): boolean {
  try {
    readdirSync(path);
    return true;
  } catch {
    // A file, or missing: the caller reports it.
    return false;
  }
}
