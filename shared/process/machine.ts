import { readFileSync } from "node:fs";
import { hostname } from "node:os";

/** One and the same file in every container of a machine, until it boots again. */
const BOOT_ID = "/proc/sys/kernel/random/boot_id";

/** Names this machine, to services of one NATS: its boot, or its host name where the system numbers no boots. A token of a subject. */
export function machineName(read: (path: string) => string = (path) => readFileSync(path, "utf8")): string {
  try {
    const id = read(BOOT_ID).trim();
    if (/^[0-9a-f][0-9a-f-]{0,63}$/.test(id)) return id;
  } catch {
    // The system has no such file.
  }
  const name = hostname()
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-+/, "")
    .slice(0, 64);
  return name || "machine";
}
