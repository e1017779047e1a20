import { readdir } from "node:fs/promises";
import { setTimeout as pause } from "node:timers/promises";

/** A folder of data sets, as this service can read it. */
export interface DataFolder {
  path: string;
  /** Names of its folders, sorted; absent if it cannot be read. */
  dataSets?: string[];
  /** Reason why it cannot be read. */
  fault?: string;
}

/** Longest wait for a mount that hangs. */
const PATIENCE_MS = 2_000;

/** Reads a folder of LATHE_DATA_FOLDER for `/about`. Concurrent calls share one read. */
export function dataFolder(path: string): () => Promise<DataFolder> {
  let looking: Promise<DataFolder> | undefined;
  return () => {
    looking ??= look(path).finally(() => (looking = undefined));
    const late = pause(PATIENCE_MS, { path, fault: "no answer within 2 s: the mount hangs" }, { ref: false });
    return Promise.race([looking, late]);
  };
}

async function look(path: string): Promise<DataFolder> {
  try {
    const entries = await readdir(path, { withFileTypes: true });
    const dataSets = entries.filter((entry) => entry.isDirectory() || entry.isSymbolicLink()).map(({ name }) => name);
    return { path, dataSets: dataSets.sort() };
  } catch (error) {
    return { path, fault: (error as NodeJS.ErrnoException).code ?? String(error) };
  }
}
