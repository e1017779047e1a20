import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";

/** Files that Node can load on Linux x64, without second builds for browsers. */
const LOADED = /\.([cm]?js|json|node|proto|wasm|so(\.\d+)*)$/;
const OTHERS = /\.(min|es2017|fesm)\.js$|\/(win32|darwin|arm64|miniprogram)\//;

/** The packages that compiled files require by name, without Node's own. */
export function requiredBy(files: readonly string[]): string[] {
  const names = files.flatMap((file) =>
    [...readFileSync(file, "utf8").matchAll(/\brequire\("(?!\.|node:)((?:@[^/"]+\/)?[^/"]+)[^"]*"\)/g)].map(
      ([, name]) => name!,
    ),
  );
  return [...new Set(names)].sort();
}

/** The folders of packages below a root and of all that they depend on. Optional packages may be missing. */
export function packageFolders(root: string, names: readonly string[]): string[] {
  const found = new Set<string>();
  const add = (name: string, from: string) => {
    const folder = resolved(name, from, root);
    if (folder === undefined || found.has(folder)) return;
    found.add(folder);
    const { dependencies, optionalDependencies } = JSON.parse(
      readFileSync(join(folder, "package.json"), "utf8"),
    ) as Record<string, object | undefined>;
    for (const each of Object.keys({ ...dependencies, ...optionalDependencies })) add(each, folder);
  };
  for (const name of names) add(name, root);
  return [...found].sort();
}

/** As Node resolves it: in node_modules of the folder or of one above it. */
function resolved(name: string, from: string, root: string): string | undefined {
  const folder = join(from, "node_modules", name);
  if (existsSync(join(folder, "package.json"))) return folder;
  return from === root ? undefined : resolved(name, dirname(from), root);
}

/** The files below a folder that Node can load, without those of packages nested in it. */
export function loadedFiles(folder: string): string[] {
  return filesBelow(folder).filter((path) => LOADED.test(path) && !OTHERS.test(path));
}

/** The files below a folder, without node_modules. */
export function filesBelow(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (!entry.isDirectory()) return [path];
    return entry.name === "node_modules" ? [] : filesBelow(path);
  });
}
