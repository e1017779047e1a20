import { LatheError } from "../process/errors";
import { datasetFault } from "./dataset";
import { decodeLabel, resizeIndices, type DecodedImage, type Size } from "./images";
import { UNKNOWN, type Pair } from "./layouts/layout";
import type { IndexMap } from "./png";

const PARALLEL_FILES = 4; // the size of libuv's pool: more would only take memory
const FAULTS_TO_NAME = 10;

/** Class indices [height, width] at the data set's size. */
export interface Label {
  readonly data: Uint8Array;
  /** Size of the file. */
  readonly stored: Size;
}

/** Decodes a label, maps its values to classes and resizes it. Errors are DATASET_INVALID and name the file. */
export async function loadLabel(path: string, size: Size, labelMap: readonly number[]): Promise<Label> {
  const label = await decodeLabel(path);
  mapLabels(label, labelMap, path);
  return { data: resizeIndices(label, size), stored: { height: label.height, width: label.width } };
}

/** Throws DATASET_INVALID unless an image and its label are stored at the same size. */
export function checkPair(pair: Pair, { stored: image }: DecodedImage, { stored: label }: Label): void {
  if (label.height === image.height && label.width === image.width) return;
  throw datasetFault(
    `label ${pair.label} is ${label.width}x${label.height}, its image ${pair.image} is ${image.width}x${image.height}: sizes must be equal`,
  );
}

/** Replaces stored values by classes, in place. It runs before resizing, so that every pixel is checked. */
function mapLabels(label: IndexMap, labelMap: readonly number[], path: string): void {
  const { data, width } = label;
  const classes = Int16Array.from(labelMap);
  for (let at = 0; at < data.length; at++) {
    const value = data[at]!;
    const mapped = classes[value]!;
    if (mapped === UNKNOWN) {
      const known = labelMap.flatMap((to, from) => (to === UNKNOWN ? [] : [from]));
      throw datasetFault(
        `label ${path} has the unknown value ${value} at x ${at % width}, y ${Math.floor(at / width)}: known are ${ranges(known)}`,
      );
    }
    data[at] = mapped;
  }
}

function ranges(values: readonly number[]): string {
  const parts: [number, number][] = [];
  for (const value of values) {
    const last = parts.at(-1);
    if (last !== undefined && last[1] === value - 1) last[1] = value;
    else parts.push([value, value]);
  }
  return parts.map(([from, to]) => (from === to ? `${from}` : `${from} to ${to}`)).join(", ");
}

/**
 * Runs a check for 0..count-1, a few at a time, and throws the fault of the lowest index. It stops after 10 faults. The error's violations
 * hold all of them, so that a bad download can be repaired at once.
 */
export async function checkAll(count: number, check: (index: number) => Promise<unknown>): Promise<void> {
  const faults: { index: number; error: LatheError }[] = [];
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < count && faults.length < FAULTS_TO_NAME) {
      const index = next++;
      await check(index).catch((error: unknown) => faults.push({ index, error: LatheError.from(error) }));
    }
  };
  await Promise.all(Array.from({ length: PARALLEL_FILES }, lane));
  faults.sort((a, b) => a.index - b.index);
  const first = faults[0]?.error;
  if (first === undefined) return;
  const more = faults.length > 1 ? ` (and ${faults.length - 1} more faulty examples)` : "";
  throw new LatheError(first.code, first.message + more, {
    reason: first.reason,
    violations: faults.map(({ error }) => ({ field: "dataset", description: error.message })),
    cause: first.cause,
  });
}
