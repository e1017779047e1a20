import { datasetFault, IGNORE, type DatasetInfo } from "../dataset";
import { MAX_LIST_BYTES, readBytes } from "../reading";

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

/** Longest line of a list. Faults quote the paths in it. */
const MAX_LINE = 1024;

/** Non-empty lines of a text file, trimmed, each with its number from 1. */
export async function readLines(path: string): Promise<{ text: string; number: number }[]> {
  const text = (await readBytes(path, "list", MAX_LIST_BYTES)).toString("utf8");
  const lines = text
    .split("\n")
    .map((line, index) => ({ text: line.trim(), number: index + 1 }))
    .filter((line) => line.text !== "");
  const long = lines.find((line) => line.text.length > MAX_LINE);
  if (long === undefined) return lines;
  throw datasetFault(`${path} line ${long.number} has ${long.text.length} characters, must have at most ${MAX_LINE}`);
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
