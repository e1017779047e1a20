import { readdir } from "node:fs/promises";

/** What a service sees of the folder that data sets are mounted at. */
export interface DataFolder {
  path: string;
  /** Names of the folders in it, sorted; absent where it cannot be read. */
  dataSets?: string[];
  /** Why it cannot be read. */
  fault?: string;
}

/** Looks into the folder of LATHE_DATA_FOLDER, for `/about`. */
export async function lookIntoDataFolder(path: string): Promise<DataFolder> {
  try {
    const entries = await readdir(path, { withFileTypes: true });
    const dataSets = entries.filter((entry) => entry.isDirectory() || entry.isSymbolicLink()).map(({ name }) => name);
    return { path, dataSets: dataSets.sort() };
  } catch (error) {
    return { path, fault: (error as NodeJS.ErrnoException).code ?? String(error) };
  }
}
