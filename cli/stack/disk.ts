import { statfsSync } from "node:fs";
import { LatheError } from "../../shared/process/errors";

/** Below this a stack neither starts nor goes on: a nats-server whose disk is full stops answering and says nothing. */
const MIN_FREE_BYTES = 256e6;
const LOOK_MS = 1_000;

export interface DiskOptions {
  /** Free bytes of the disk that holds a folder; for tests. */
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

/** Throws RESOURCE_EXHAUSTED (DISK_FULL) where the disk of a folder is nearly full now; else tells once when it becomes so. Returns what ends that. */
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
