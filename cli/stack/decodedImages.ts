import { mkdir } from "node:fs/promises";
import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";
import { requireDataCache } from "../../shared/service/engine";

/**
 * Where the searches of a user keep decoded images: below XDG_CACHE_HOME or ~/.cache. "none" where the services would refuse it: an account
 * without a home still searches.
 */
export async function decodedImages(environment: NodeJS.ProcessEnv = process.env): Promise<string> {
  try {
    const { XDG_CACHE_HOME: cache = "", HOME } = environment;
    const home = HOME || homedir();
    // A relative path there counts as none, as the XDG specification says.
    const above = isAbsolute(cache) ? [cache] : [home, join(home, ".cache")];
    const [base] = above as [string];
    if (!isAbsolute(base)) return "none";
    const parent = join(above.at(-1) as string, "lathe");
    // One by one: recursive, Node tries for ever where the system has no such place.
    for (const path of [...above, parent]) await makeFolder(path);
    const folder = join(parent, "decoded");
    await requireDataCache({ LATHE_DATA_CACHE: folder });
    return folder;
  } catch {
    return "none";
  }
}

async function makeFolder(path: string): Promise<void> {
  await mkdir(path, { mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "EEXIST") throw error;
  });
}
