import { realpath } from "node:fs/promises";
import { join } from "node:path";
import { datasetFault } from "../dataset";
import { listEntries } from "../reading";

/** Ends of the names of files that can be images or labels. */
const PICTURE = /\.(png|jpe?g|bmp)$/i;

/** The files below a folder. */
interface FileList {
  /** Paths below the folder of the files that can be images or labels, sorted by code unit. */
  readonly files: readonly string[];
  /** Names of all other files. */
  readonly passedOver: readonly string[];
}

/** Lists a folder and the folders below it. DATASET_INVALID names a link that leads back to a folder above it. */
export async function listFiles(folder: string): Promise<FileList> {
  const files: string[] = [];
  const passedOver: string[] = [];
  const visit = async (below: string, above: readonly string[]): Promise<void> => {
    const path = join(folder, below);
    const entries = await listEntries(path);
    const real = await realpath(path);
    if (above.includes(real)) throw datasetFault(`dataset folder ${path} is a link to a folder above it`);
    for (const { name, isFolder } of entries) {
      const isHidden = name.startsWith(".");
      if (isFolder) {
        if (!isHidden) await visit(join(below, name), [...above, real]);
      } else if (!isHidden && PICTURE.test(name)) files.push(join(below, name));
      else passedOver.push(name);
    }
  };
  await visit("", []);
  return { files: files.sort((a, b) => (a < b ? -1 : 1)), passedOver };
}

/** A path without the extension of its file. */
export const withoutExtension = (path: string): string => path.replace(PICTURE, "");

/** One line that counts files by name; undefined if there are none. */
export function passedOverLine(names: readonly string[]): string | undefined {
  if (names.length === 0) return undefined;
  const counts = new Map<string, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  const told = [...counts].slice(0, MOST_NAMES).map(([name, count]) => (count > 1 ? `${name} (${count})` : name));
  const more = counts.size > MOST_NAMES ? `, ${counts.size - MOST_NAMES} more names` : "";
  return `passed over ${names.length} file${names.length === 1 ? "" : "s"} that cannot be images or labels: ${told.join(", ")}${more}`;
}

const MOST_NAMES = 8;
