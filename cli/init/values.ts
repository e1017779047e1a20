import { rgb } from "../../shared/data/coding";
import { faultsOf } from "../../shared/data/faults";
import { decodeLabel, type Size } from "../../shared/data/images";
import type { Pair } from "../../shared/data/layouts/layout";
import { withColors, type StoredPixels } from "../../shared/data/png";
import { sizesOf } from "../../shared/data/sizes";
import type { LatheError } from "../../shared/process/errors";
import type { ImageSize } from "../../shared/proto/lathe/v1/result";

/** More colours than this are no classes: edges are smoothed, or the files are photographs. */
export const MOST_COLORS = 254;

/** What label files store, counted over all of them. */
export interface Stored {
  /** Pixels of each value 0 to 255 in grey and palette images. */
  readonly values: readonly number[];
  /** Colours of the palettes by value; empty where two files disagree, or have none. */
  readonly palette: ReadonlyMap<number, number>;
  /** Pixels of each colour, by rgb(), in images of colours; counting ends after MOST_COLORS. */
  readonly colors: ReadonlyMap<number, number>;
  /** Labels that are images of colours. */
  readonly colored: number;
  readonly labels: number;
  /** Number of labels of each size. */
  readonly sizes: readonly ImageSize[];
  /** Files that cannot be read. */
  readonly faults: readonly LatheError[];
}

/** Decodes every label once. `progress` is called after each with the number of those that are done. */
export async function storedIn(pairs: readonly Pair[], progress: (done: number, of: number) => void): Promise<Stored> {
  const values = new Array<number>(256).fill(0);
  const [palette, colors] = [new Map<number, number>(), new Map<number, number>()];
  const sizes: Size[] = [];
  let [done, colored] = [0, 0];
  const faults = await faultsOf(
    pairs.length,
    async (index) => {
      const stored = await decodeLabel(pairs[index]!.label).finally(() => progress(++done, pairs.length));
      sizes.push({ height: stored.height, width: stored.width });
      if (stored.channels === 3) {
        colored++;
        countColors(stored, colors);
      } else countValues(stored, values, palette);
    },
    Infinity,
  );
  if (palette.has(DISAGREEING)) palette.clear();
  return { values, palette, colors, colored, labels: pairs.length, sizes: sizesOf(sizes), faults };
}

/** Marks a palette whose colours differ between files. */
const DISAGREEING = -1;

function countValues(stored: StoredPixels, values: number[], palette: Map<number, number>): void {
  for (const value of stored.data) values[value]! += 1;
  if (stored.palette === undefined) return;
  for (let value = 0; value < stored.palette.length / 3; value++) {
    const [red, green, blue] = stored.palette.subarray(3 * value);
    const color = rgb(red!, green!, blue!);
    if ((palette.get(value) ?? color) !== color && stored.data.includes(value)) palette.set(DISAGREEING, 0);
    palette.set(value, color);
  }
}

function countColors(stored: StoredPixels, colors: Map<number, number>): void {
  const data = withColors(stored);
  for (let at = 0; at < data.length; at += 3) {
    const color = rgb(data[at]!, data[at + 1]!, data[at + 2]!);
    const count = colors.get(color);
    if (count === undefined && colors.size > MOST_COLORS) continue;
    colors.set(color, (count ?? 0) + 1);
  }
}
