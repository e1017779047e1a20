import { statfsSync } from "node:fs";
import { LatheError } from "../../shared/process/errors";

/** Minimum free space of a stack, because a nats-server with a full disk stops answering without an error. */
const MIN_FREE_BYTES = 256e6;
const LOOK_MS = 1_000;

export interface DiskOptions {
  /** Replaces the measurement of free bytes in tests. */
  freeBytes?: (folder: string) => number;
}

function freeBytesOf(folder: string): number {
  const { bavail, bsize } = statfsSync(folder);
  return bavail * bsize;
}

function shortage(folder: string, free: number): LatheError | undefined {
  if (free >= MIN_FREE_BYTES) return undefined;
  const [has, needs] = [free, MIN_FREE_BYTES].map((bytes) => `${Math.floor(bytes / 1e6)} MB`);
  return new LatheError(
    "RESOURCE_EXHAUSTED",
    `the disk of ${folder} has ${has} left, the stack needs ${needs}: free some space or choose another folder`,
    { reason: "DISK_FULL" },
  );
}

/**
 * Throws RESOURCE_EXHAUSTED (DISK_FULL) if the disk of a folder is nearly full. Otherwise calls `onFull` once when it becomes so.
 * Returns a function that ends the watch.
 */
export function watchDisk(
  folder: string,
  onFull: (error: LatheError) => void,
  { freeBytes = freeBytesOf }: DiskOptions = {},
): () => void {
  const now = shortage(folder, freeBytes(folder));
  if (now) throw now;
  const timer = setInterval(() => {
    const error = shortage(folder, freeBytes(folder));
    if (!error) return;
    clearInterval(timer);
    onFull(error);
  }, LOOK_MS).unref();
  return () => clearInterval(timer);
}
