import { accessSync, constants, mkdirSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";

/** The permission of all users to write in a folder. */
const OTHERS_WRITE = 0o002;

/**
 * Where the searches of a user keep decoded images: below XDG_CACHE_HOME or ~/.cache. "none" where the services would refuse it: an account
 * without a home still searches.
 */
export function decodedImages(environment: NodeJS.ProcessEnv = process.env): string {
  try {
    const { XDG_CACHE_HOME: cache = "", HOME } = environment;
    const home = HOME || homedir();
    // A relative path there counts as none, as the XDG specification says.
    const above = isAbsolute(cache) ? [cache] : [home, join(home, ".cache")];
    const [base] = above as [string];
    if (!isAbsolute(base)) return "none";
    const last = above.at(-1) as string;
    const folder = join(last, "lathe", "decoded");
    // One by one: recursive, Node tries for ever where the system has no such place.
    for (const path of [...above, join(last, "lathe"), folder]) createFolder(path);
    accessSync(folder, constants.W_OK | constants.X_OK);
    return (statSync(folder).mode & OTHERS_WRITE) === 0 ? folder : "none";
  } catch {
    return "none";
  }
}

function createFolder(path: string): void {
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
}
