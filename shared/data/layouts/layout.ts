import type { LatheError } from "../../process/errors";
import type { LabelCoding } from "../coding";
import { datasetFault, type DatasetInfo } from "../dataset";
import { MAX_LIST_BYTES, readBytes } from "../reading";

/** An image and its label file, as absolute paths or relative to the working folder. */
export interface Pair {
  readonly image: string;
  readonly label: string;
}

/** A data set of files: the pairs of its splits, and the meaning of its labels. */
export interface Layout {
  readonly info: DatasetInfo;
  readonly train: readonly Pair[];
  readonly validation: readonly Pair[];
  readonly coding: LabelCoding;
  /** Faults of the names of the files: what does not pair, and lines of lists that name nothing. */
  readonly faults: readonly LatheError[];
  /** The notes on the files: each says in a line what was passed over or assumed. */
  readonly notes: readonly string[];
}

/** Longest line of a list. Faults quote the paths in it. */
const MAX_LINE = 1024;

/** A line of a list, trimmed, with its number from 1. */
export interface Line {
  readonly text: string;
  readonly number: number;
}

/** Non-empty lines of a text file. */
export async function readLines(path: string): Promise<Line[]> {
  return linesOf((await readBytes(path, "list", MAX_LIST_BYTES)).toString("utf8"), path);
}

/** Non-empty lines of a text; `path` names it in a fault. */
export function linesOf(text: string, path: string): Line[] {
  const lines = text
    .split("\n")
    .map((line, index) => ({ text: line.trim(), number: index + 1 }))
    .filter((line) => line.text !== "");
  const long = lines.find((line) => line.text.length > MAX_LINE);
  if (long === undefined) return lines;
  throw datasetFault(`${path} line ${long.number} has ${long.text.length} characters, must have at most ${MAX_LINE}`);
}

/** Takes `count` pairs at even distances, because video frames are in order of time; all pairs if count is undefined. */
function spread(pairs: readonly Pair[], count: number | undefined, split: string): readonly Pair[] {
  if (pairs.length === 0) throw datasetFault(`split ${split} is empty, at least 1 example is needed`);
  if (count === undefined) return pairs;
  if (count > pairs.length) {
    throw datasetFault(`split ${split} has ${pairs.length} examples, ${count} were asked for`);
  }
  return Array.from({ length: count }, (_, i) => pairs[Math.floor((i * pairs.length) / count)]!);
}

/** The part of a layout that a data set takes. */
export interface Use {
  /** The data folder. */
  readonly path?: string;
  /** Numbers of examples; absent: all. */
  readonly trainExamples?: number | undefined;
  readonly validationExamples?: number | undefined;
}

/** The pairs of a layout that a data set uses. */
export function usedFiles(
  { path, trainExamples, validationExamples }: Use,
  layout: Layout,
): { train: readonly Pair[]; validation: readonly Pair[]; whole: boolean } {
  const train = spread(layout.train, trainExamples, `train of ${path}`);
  const validation = spread(layout.validation, validationExamples, `validation of ${path}`);
  const whole = train.length === layout.train.length && validation.length === layout.validation.length;
  return { train, validation, whole };
}
