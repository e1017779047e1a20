import { readdir, readFile, stat } from "node:fs/promises";
import { datasetFault, reasonOf, IGNORE, type DatasetInfo } from "../dataset";

/** An image and its label file, as absolute paths or relative to the working folder. */
export interface Pair {
  readonly image: string;
  readonly label: string;
}

/** A data set of files: the pairs of its splits, and the meaning of its label values. */
export interface Layout {
  readonly info: DatasetInfo;
  readonly train: readonly Pair[];
  readonly validation: readonly Pair[];
  /** 256 entries: the class index of each stored value, IGNORE or UNKNOWN. */
  readonly labelMap: readonly number[];
}

/** Marks a stored label value that the data set does not define. */
export const UNKNOWN = -1;

/** A label map in which stored values 0..count-1 are classes, the given values and 255 are ignored, and all others are unknown. */
export function plainLabelMap(count: number, ignored: readonly number[] = []): number[] {
  return Array.from({ length: 256 }, (_, value) =>
    value === IGNORE || ignored.includes(value) ? IGNORE : value < count ? value : UNKNOWN,
  );
}

/** Throws NOT_FOUND or INVALID_ARGUMENT, with the path, unless it is a folder. */
export async function requireFolder(path: string, what: string): Promise<void> {
  const found = await stat(path).catch((error: unknown) => {
    throw datasetFault(`${what} ${path} does not exist or cannot be read: ${reasonOf(error)}`, "NOT_FOUND", error);
  });
  if (!found.isDirectory()) throw datasetFault(`${what} ${path} is not a folder`);
}

/** Whether a file or folder exists. */
export async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

/** Names in a folder that end with the suffix, sorted by code unit: the same order on every machine. */
export async function listNames(folder: string, suffix = ""): Promise<string[]> {
  await requireFolder(folder, "dataset folder");
  const names = await readdir(folder);
  return names.filter((name) => name.endsWith(suffix) && !name.startsWith(".")).sort((a, b) => (a < b ? -1 : 1));
}

/** Non-empty lines of a text file, trimmed, each with its number from 1. */
export async function readLines(path: string): Promise<{ text: string; number: number }[]> {
  const text = await readFile(path, "utf8").catch((error: unknown) => {
    throw datasetFault(`list ${path} does not exist or cannot be read: ${reasonOf(error)}`, "NOT_FOUND", error);
  });
  return text
    .split("\n")
    .map((line, index) => ({ text: line.trim(), number: index + 1 }))
    .filter((line) => line.text !== "");
}

/** Takes `count` pairs at even distances, because video frames are in order of time; all pairs if count is undefined. */
export function spread(pairs: readonly Pair[], count: number | undefined, split: string): readonly Pair[] {
  if (pairs.length === 0) throw datasetFault(`split ${split} is empty, at least 1 example is needed`);
  if (count === undefined) return pairs;
  if (count > pairs.length) {
    throw datasetFault(`split ${split} has ${pairs.length} examples, ${count} were asked for`);
  }
  return Array.from({ length: count }, (_, i) => pairs[Math.floor((i * pairs.length) / count)]!);
}
