import { existsSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { LatheError } from "./errors";

interface Entry {
  path: string;
  execArgv: string[];
}

/**
 * The file to give to fork or Worker for the module `name` in `dir` (usually __dirname): the compiled .js if it is there,
 * else the .ts source with the flags that let Node run it.
 */
export function entry(dir: string, name: string): Entry {
  const compiled = join(dir, `${name}.js`);
  if (existsSync(compiled)) return { path: compiled, execArgv: ["--enable-source-maps"] };
  const source = join(dir, `${name}.ts`);
  // As a URL: a bare "tsx" would be looked up from the working directory, which is the user's.
  if (existsSync(source)) {
    return { path: source, execArgv: ["--import", pathToFileURL(require.resolve("tsx")).href] };
  }
  throw new LatheError("INTERNAL", `no ${name}.js and no ${name}.ts in ${dir}`, { reason: "ENTRY_MISSING" });
}
