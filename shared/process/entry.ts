import { existsSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { LatheError } from "./errors";

/**
 * The file that fork or Worker runs for the module `name` in `dir` (usually __dirname): the compiled .js where it exists, else the .ts
 * source with the flags that let Node run it.
 */
export function entry(dir: string, name: string): { path: string; execArgv: string[] } {
  const compiled = join(dir, `${name}.js`);
  if (existsSync(compiled)) return { path: compiled, execArgv: ["--enable-source-maps"] };
  const source = join(dir, `${name}.ts`);
  // As a URL, because a bare "tsx" would be resolved from the user's working directory.
  if (existsSync(source)) return { path: source, execArgv: ["--import", pathToFileURL(require.resolve("tsx")).href] };
  throw new LatheError("INTERNAL", `no ${name}.js and no ${name}.ts in ${dir}`, { reason: "ENTRY_MISSING" });
}
