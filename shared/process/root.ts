import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { LatheError } from "./errors";

interface Package {
  name?: string;
  version?: string;
}

function readPackage(folder: string): Package | undefined {
  let text: string;
  try {
    text = readFileSync(join(folder, "package.json"), "utf8");
  } catch (error) {
    // Most folders above this file have no package.json.
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  return JSON.parse(text) as Package;
}

let found: { root: string; version: string } | undefined;

function locate(): { root: string; version: string } {
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
