import { accessSync, constants, mkdirSync } from "node:fs";
import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";

/**
 * Where the searches of a user keep decoded images: below XDG_CACHE_HOME or ~/.cache. "none" where nothing can be written there: an account
 * without a home still searches.
 */
export function decodedImages(environment: NodeJS.ProcessEnv = process.env): string {
  try {
    const { XDG_CACHE_HOME: cache = "", HOME: home } = environment;
    // A relative path there counts as none, as the XDG specification says.
    const folder = join(isAbsolute(cache) ? cache : join(home || homedir(), ".cache"), "lathe", "decoded");
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    accessSync(folder, constants.W_OK | constants.X_OK);
    return folder;
  } catch {
    return "none";
  }
}
