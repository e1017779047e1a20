import { readlink } from "node:fs/promises";
import { dirname, isAbsolute, join } from "node:path";
import { datasetFault } from "./dataset";

/** As many links as Linux follows in one path. */
const MAX_LINKS = 40;

/** The only folders below which this process opens files of data sets; undefined: it opens any. */
let allowed: readonly string[] | undefined;

/**
 * Confines all data sets of this process to some folders (LATHE_DATA_FOLDER); undefined lifts it. It holds for the process, not for one
 * data set, so that no call that opens files can leave it out. The thread of a data set is confined by its setup.
 */
export function confine(folders: readonly string[] | undefined): void {
  allowed = folders;
}

/** The folders of `confine`. */
export const confinedTo = (): readonly string[] | undefined => allowed;

/** The path without symbolic links, and whether this process may open it. A process that is not confined takes the path as it is. */
export async function resolveInside(path: string, what: string): Promise<string> {
  if (allowed === undefined) return path;
  const real = await withoutLinks(path);
  await requireInside(real, path, what);
  return real;
}

/**
 * Throws unless `real`, a path without links, is below an allowed folder. The text is the same whether the file exists or not, and does
 * not tell where the links of `path` lead.
 */
export async function requireInside(real: string, path: string, what: string): Promise<void> {
  for (const folder of allowed ?? ["/"]) {
    const root = await withoutLinks(folder);
    if (real === root || real.startsWith(root === "/" ? root : `${root}/`)) return;
  }
  throw datasetFault(`${what} ${path} is outside of the folders of LATHE_DATA_FOLDER`);
}

/**
 * The path with every symbolic link followed, absolute. Unlike realpath() it also resolves what does not exist or cannot be read: a file
 * outside must be refused without telling whether it is there.
 */
async function withoutLinks(path: string): Promise<string> {
  const absolute = isAbsolute(path) ? path : join(process.cwd(), path);
  const left = absolute.split("/").reverse();
  let at = "/";
  for (let links = 0; left.length > 0;) {
    const name = left.pop()!;
    if (name === "" || name === ".") continue;
    const next = name === ".." ? dirname(at) : join(at, name);
    const target = name === ".." ? undefined : await targetOf(next);
    if (target === undefined) at = next;
    else if (++links > MAX_LINKS) return absolute;
    else {
      left.push(...target.split("/").reverse());
      if (isAbsolute(target)) at = "/";
    }
  }
  return at;
}

/** Target of a symbolic link; undefined where there is none, or nothing at all. */
async function targetOf(path: string): Promise<string | undefined> {
  try {
    return await readlink(path);
  } catch {
    // Not a link (EINVAL), missing, or in a folder that cannot be read. Opening it gives the reason, if it is inside.
    return undefined;
  }
}
