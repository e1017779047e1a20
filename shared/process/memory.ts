import { readFileSync } from "node:fs";
import { totalmem } from "node:os";

/** How often the memory of a process is read, in ms. */
const LOOK_EVERY_MS = 200;

/** Memory of the machine or, if smaller, the limit of the container. */
export function machineBytes(): number {
  return Math.min(totalmem(), process.constrainedMemory() || Infinity);
}

/** Formats bytes: "19.1 GiB", or "40 MiB" below one GiB. */
export const memorySize = (bytes: number): string =>
  bytes < 2 ** 30 ? `${Math.ceil(bytes / 2 ** 20)} MiB` : `${(bytes / 2 ** 30).toFixed(1)} GiB`;

/** Resident memory of a process, in bytes; 0 where it has ended or the system has no /proc. */
export function residentBytes(pid: number | undefined): number {
  if (pid === undefined) return 0;
  try {
    const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
    return Number(kilobytes ?? 0) * 1024;
  } catch {
    return 0;
  }
}

/** Calls back once a process holds more than `most` bytes. The returned function ends the watch. */
export function watchMemory(pid: number | undefined, most: number, onExceeded: (held: number) => void): () => void {
  const looking = setInterval(() => {
    const held = residentBytes(pid);
    if (held <= most) return;
    clearInterval(looking);
    onExceeded(held);
  }, LOOK_EVERY_MS);
  return () => clearInterval(looking);
}
