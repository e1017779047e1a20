import { constants, type Stats } from "node:fs";
import { open, readdir, readlink, realpath, stat, type FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { confinedTo, resolveInside } from "./confinement";
import { datasetFault } from "./dataset";

const MIB = 2 ** 20;
/** Largest image or label: an image of as many pixels as are allowed (images.ts), uncompressed, and its headers. */
export const MAX_IMAGE_BYTES = 256 * MIB;
/** Largest list, such as train.txt or classes.txt: some 200,000 lines. */
export const MAX_LIST_BYTES = 16 * MIB;
/** A FIFO without a writer would hold open() for ever, and a terminal would become the terminal of this process. */
const FLAGS = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY;
const LINUX = process.platform === "linux";

/** The bytes of a regular file. DATASET_INVALID names the path if it is missing, outside, no regular file or larger than `maxBytes`. */
export async function readBytes(path: string, what: string, maxBytes: number): Promise<Buffer> {
  const handle = await opened(path, what, "a regular file");
  try {
    const { size } = await handle.stat();
    if (size > maxBytes)
      throw datasetFault(`${what} ${path} has ${size} bytes, must have at most ${maxBytes} (${maxBytes / MIB} MiB)`);
    return await readWhole(handle, size);
  } catch (error) {
    throw unreadable(error, path, what);
  } finally {
    await handle.close();
  }
}

/** Names in a folder that end with the suffix, sorted by code unit: the same order on every machine. */
export async function listNames(folder: string, suffix = ""): Promise<string[]> {
  const entries = await listEntries(folder);
  return entries.map(({ name }) => name).filter((name) => name.endsWith(suffix) && !name.startsWith("."));
}

/** An entry of a folder. */
interface Entry {
  readonly name: string;
  readonly isFolder: boolean;
}

/** All entries of a folder, sorted by code unit: the same order on every machine. */
export async function listEntries(folder: string): Promise<Entry[]> {
  const what = "dataset folder";
  const handle = await opened(folder, what, "a folder");
  try {
    // The descriptor's own folder, whatever has been put at its path meanwhile.
    const found = await readdir(LINUX ? ofDescriptor(handle) : folder, { withFileTypes: true });
    const entries = found.map(async (one) => ({
      name: one.name,
      isFolder: one.isDirectory() || (one.isSymbolicLink() && (await leadsToFolder(join(folder, one.name)))),
    }));
    return (await Promise.all(entries)).sort((a, b) => (a.name < b.name ? -1 : 1));
  } catch (error) {
    throw unreadable(error, folder, what);
  } finally {
    await handle.close();
  }
}

/** A link that leads outside counts as a folder, whatever is there: it is refused where it is opened. */
const leadsToFolder = (path: string): Promise<boolean> => isFolder(path).catch(() => true);

/** Whether a path leads to a folder; throws if it would be outside. */
export async function isFolder(path: string): Promise<boolean> {
  const { real } = await resolveInside(path, "dataset file");
  return stat(real).then(
    (stats) => stats.isDirectory(),
    () => false,
  );
}

/** Throws NOT_FOUND or INVALID_ARGUMENT, with the path, unless it is a folder that may be read. */
export async function requireFolder(path: string, what: string): Promise<void> {
  await (await opened(path, what, "a folder")).close();
}

/** Whether a file or folder exists; throws if it would be outside. */
export async function exists(path: string): Promise<boolean> {
  const { real } = await resolveInside(path, "dataset file");
  return stat(real).then(
    () => true,
    () => false,
  );
}

type Kind = "a regular file" | "a folder";

/**
 * Opens a file or folder. The kind is checked before it is opened, because opening a device may have an effect; kind and place are checked
 * again on the descriptor, because another file may have been put at the path in between.
 */
async function opened(path: string, what: string, kind: Kind): Promise<FileHandle> {
  const { real, requireInside } = await resolveInside(path, what);
  let handle: FileHandle | undefined;
  try {
    requireKind(await stat(real), path, what, kind);
    handle = await open(real, FLAGS | (confinedTo() ? constants.O_NOFOLLOW : 0));
    requireKind(await handle.stat(), path, what, kind);
    if (confinedTo()) requireInside(await placeOf(handle, real));
    return handle;
  } catch (error) {
    await handle?.close();
    throw unreadable(error, path, what);
  }
}

function requireKind(stats: Stats, path: string, what: string, kind: Kind): void {
  if (kind === "a folder" ? stats.isDirectory() : stats.isFile()) return;
  throw datasetFault(`${what} ${path} is ${kindOf(stats)}, must be ${kind}`);
}

function kindOf(stats: Stats): string {
  if (stats.isFile()) return "a regular file";
  if (stats.isDirectory()) return "a folder";
  if (stats.isFIFO()) return "a FIFO";
  return stats.isSocket() ? "a socket" : "a device";
}

/** Where an open file is. Linux knows it exactly; elsewhere the path is resolved once more. */
function placeOf(handle: FileHandle, real: string): Promise<string> {
  return LINUX ? readlink(ofDescriptor(handle)) : realpath(real);
}

const ofDescriptor = ({ fd }: FileHandle): string => `/proc/self/fd/${fd}`;

/** Reads no more than the size that was checked, even from a file that grows. */
async function readWhole(handle: FileHandle, size: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(size);
  let at = 0;
  while (at < size) {
    const { bytesRead } = await handle.read(bytes, at, size - at, at);
    if (bytesRead === 0) break;
    at += bytesRead;
  }
  return bytes.subarray(0, at);
}

/** Errors of a file system that is away, such as a network share whose server does not answer. */
const AWAY = new Set(["EIO", "ESTALE", "ENOTCONN", "ETIMEDOUT", "EHOSTDOWN", "EHOSTUNREACH", "ENODEV", "ENXIO"]);

/** The fault for an error of the file system; other faults stay. Its code is told, not its text, which would name the resolved path. */
function unreadable(error: unknown, path: string, what: string): unknown {
  const { code, syscall } = error as NodeJS.ErrnoException;
  if (syscall === undefined) return error;
  if (code === "ENOENT") return datasetFault(`${what} ${path} does not exist`, "NOT_FOUND", error);
  const kind = AWAY.has(code ?? "") ? "UNAVAILABLE" : "INVALID_ARGUMENT";
  return datasetFault(`${what} ${path} cannot be read (${code})`, kind, error);
}
