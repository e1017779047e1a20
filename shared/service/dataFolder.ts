import { readdir } from "node:fs/promises";
import { setTimeout as pause } from "node:timers/promises";

/** The folder of data sets as this service sees it. */
export interface DataFolder {
  path: string;
  /** Names of the folders in it, sorted; absent where it cannot be read. */
  dataSets?: string[];
  /** Why it cannot be read. */
  fault?: string;
}

/** A mount that hangs must not hold up an answer. */
const PATIENCE_MS = 2_000;

/** Looks into the folder of LATHE_DATA_FOLDER, for `/about`: once at a time, however many ask. */
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
