import { datasetFault, IGNORE } from "./dataset";
import { withColors, type StoredPixels } from "./png";

/** Marks a stored value that the data set does not define. */
export const UNKNOWN = -1;

/** The colour of pixels without a label in masks of colours, whether or not a list of classes names it. */
const BLACK = 0;
/** Unknown values that a fault names. */
const VALUES_TO_NAME = 5;

/** How the pixels of label files become classes. */
export interface LabelCoding {
  /** 256 entries: the class of each value of a grey or palette image, IGNORE or UNKNOWN. Absent: such an image is read by its colours too. */
  readonly values?: readonly number[];
  /** The class or IGNORE of each colour, by rgb(). Absent: an image of colours is refused. */
  readonly colors?: ReadonlyMap<number, number>;
  /** Advice for an unknown value, and for an unknown colour or an image of colours that cannot be read. */
  readonly advice?: { readonly values: string; readonly colors: string };
}

/** A colour as one number. */
export const rgb = (red: number, green: number, blue: number): number => (red << 16) | (green << 8) | blue;

/** The classes of a label, [height, width]. */
export interface Classes {
  readonly data: Uint8Array;
  /** Whether they were read by value, not by colour. */
  readonly byValue: boolean;
  /** Pixels that are ignored because their colour is black and not listed. */
  readonly unlisted: number;
}

/** The values 0..count-1 are classes, the given values and 255 are ignored, all others unknown. */
export function plainValues(count: number, ignored: readonly number[] = []): number[] {
  return Array.from({ length: 256 }, (_, value) =>
    value === IGNORE || ignored.includes(value) ? IGNORE : value < count ? value : UNKNOWN,
  );
}

/** Maps the pixels of a label to classes. It runs before resizing, so that every pixel is checked. DATASET_INVALID names the file. */
export function classesOf(label: StoredPixels, coding: LabelCoding, path: string): Classes {
  if (label.channels === 1 && coding.values)
    return { data: byValue(label, coding.values, coding, path), byValue: true, unlisted: 0 };
  if (!coding.colors)
    throw datasetFault(`label ${path} is an image of colours: ${coding.advice?.colors ?? "must be grey or palette"}`);
  return byColor({ ...label, data: withColors(label) }, coding.colors, coding, path);
}

function byValue(
  { data, width }: StoredPixels,
  values: readonly number[],
  { advice }: LabelCoding,
  path: string,
): Uint8Array {
  const classes = Int16Array.from(values);
  const out = new Uint8Array(data.length);
  const unknown = new Unknown(width);
  for (let at = 0; at < data.length; at++) {
    const value = data[at]!;
    const mapped = classes[value]!;
    if (mapped === UNKNOWN) unknown.add(value, at);
    out[at] = mapped;
  }
  const known = values.flatMap((to, from) => (to === UNKNOWN ? [] : [from]));
  unknown.refuse(path, "value", String, `known are ${ranges(known)}${advice ? `; ${advice.values}` : ""}`);
  return out;
}

function byColor(
  { data, width }: StoredPixels,
  colors: ReadonlyMap<number, number>,
  { advice }: LabelCoding,
  path: string,
): Classes {
  const out = new Uint8Array(data.length / 3);
  const unknown = new Unknown(width);
  let unlisted = 0;
  // Neighbours mostly have one colour.
  let last = -1;
  let mapped: number | undefined;
  for (let at = 0; at < out.length; at++) {
    const color = rgb(data[3 * at]!, data[3 * at + 1]!, data[3 * at + 2]!);
    if (color !== last) mapped = colors.get(color);
    last = color;
    if (mapped !== undefined) out[at] = mapped;
    else if (color === BLACK) {
      out[at] = IGNORE;
      unlisted++;
    } else unknown.add(color, at);
  }
  const shown = (color: number): string => `${color >> 16} ${(color >> 8) & 255} ${color & 255}`;
  unknown.refuse(path, "colour", shown, advice?.colors ?? "it is the colour of no class");
  return { data: out, byValue: false, unlisted };
}

/** The unknown values of one label, with their pixels. */
class Unknown {
  private readonly found = new Map<number, { count: number; first: number }>();

  constructor(private readonly width: number) {}

  add(value: number, at: number): void {
    const known = this.found.get(value);
    if (known) known.count++;
    else this.found.set(value, { count: 1, first: at });
  }

  /** Throws DATASET_INVALID with the values and their pixels, the first first; nothing if there are none. */
  refuse(path: string, what: string, shown: (value: number) => string, advice: string): void {
    const [first, ...others] = [...this.found].map(([value, place]) => ({ value, ...place }));
    if (first === undefined) return;
    const place = `at x ${first.first % this.width}, y ${Math.floor(first.first / this.width)}`;
    const named = others.slice(0, VALUES_TO_NAME - 1).map(({ value, count }) => `${shown(value)} (${pixels(count)})`);
    const more = others.length - named.length;
    const rest = [...named, ...(more > 0 ? [`${more} more ${what}s`] : [])].map((text) => `, ${text}`).join("");
    throw datasetFault(
      `label ${path} has the unknown ${what} ${shown(first.value)} ${place} (${pixels(first.count)})${rest}: ${advice}`,
    );
  }
}

const pixels = (count: number): string => `${count} pixel${count === 1 ? "" : "s"}`;

/** "0 to 2, 9, 255". */
export function ranges(values: readonly number[]): string {
  const parts: [number, number][] = [];
  for (const value of values) {
    const last = parts.at(-1);
    if (last !== undefined && last[1] === value - 1) last[1] = value;
    else parts.push([value, value]);
  }
  return parts.map(([from, to]) => (from === to ? `${from}` : `${from} to ${to}`)).join(", ");
}
