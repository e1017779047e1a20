import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { LatheError } from "./errors";

function readPackage(folder: string): { name?: string; version?: string } | undefined {
  try {
    return JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as { name?: string; version?: string };
  } catch (error) {
    // Most folders above this file have no package.json.
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

let found: { root: string; version: string } | undefined;

function locate(): NonNullable<typeof found> {
  for (let folder = __dirname; ; folder = dirname(folder)) {
    const manifest = readPackage(folder);
    if (manifest?.name === "lathe") return { root: folder, version: manifest.version ?? "0.0.0" };
    if (dirname(folder) === folder)
      throw new LatheError("FAILED_PRECONDITION", `no package.json named "lathe" in ${__dirname} or above it`, {
        reason: "PACKAGE_ROOT_MISSING",
      });
  }
}

/** The folder of the package.json named "lathe", from sources and from dist/ alike. */
export function packageRoot(): string {
  return (found ??= locate()).root;
}

/** The version of that package.json. */
export function version(): string {
  return (found ??= locate()).version;
}
