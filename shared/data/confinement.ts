import { readlink, realpath } from "node:fs/promises";
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

/** A path that was found to be inside. */
interface Inside {
  /** The path without symbolic links; as it is in a process that is not confined. */
  readonly real: string;
  /** Throws unless another path without links is inside too. */
  readonly requireInside: (real: string) => void;
}

/**
 * Throws unless a path is below an allowed folder once its symbolic links are followed. The text is the same whether the file exists or
 * not, and does not tell where the links lead.
 */
export async function resolveInside(path: string, what: string): Promise<Inside> {
  if (allowed === undefined) return { real: path, requireInside: () => {} };
  const [real, ...roots] = await Promise.all([path, ...allowed].map(withoutLinks));
  const requireInside = (at: string): void => {
    if (roots.some((root) => at === root || at.startsWith(root === "/" ? root : `${root}/`))) return;
    throw datasetFault(`${what} ${path} is outside of the folders of LATHE_DATA_FOLDER`);
  };
  requireInside(real!);
  return { real: real!, requireInside };
}

/** The path with every symbolic link followed, absolute. */
function withoutLinks(path: string): Promise<string> {
  return realpath(path).catch(() => followed(path));
}

/** As realpath(), also for what does not exist or cannot be read: a file outside is refused without telling whether it is there. */
async function followed(path: string): Promise<string> {
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
