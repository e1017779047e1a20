import { rgb } from "../coding";
import { clip, datasetFault, IGNORE } from "../dataset";
import type { Line } from "./layout";

/** Most classes: one value is left for pixels without a label. */
const MAX_CLASSES = 254;

type Color = readonly [number, number, number];

/** The classes of a folder, in the order of their indices. */
export interface ClassList {
  readonly names: readonly string[];
  /** Colours to draw with: the list's, or distinct ones. */
  readonly colors: readonly Color[];
  /** The class or IGNORE of each colour in a mask, by rgb(); absent where a class has no colour of its own. */
  readonly masks?: ReadonlyMap<number, number>;
  /** Where the list is from, for messages. */
  readonly source: string;
  /** Whether the list is one of colours: the masks show colours, and a value means nothing by itself. */
  readonly byColor: boolean;
}

interface Row {
  readonly name: string;
  readonly color: Color | undefined;
  /** Names the row in a fault. */
  readonly place: string;
}

/** Classes from lines "name" or "name r g b": those of classes.txt, or of dataset.classes in a spec. */
export function listedClasses(lines: readonly Line[], source: string): ClassList {
  const rows = lines.map(({ text, number }): Row => {
    const match = /^(.*?)(?:\s+(\d+)\s+(\d+)\s+(\d+))?$/.exec(text);
    const color = match?.[2] === undefined ? undefined : (match.slice(2, 5).map(Number) as unknown as Color);
    const place = `${source} line ${number}`;
    if (color?.some((part) => part > 255)) throw datasetFault(`${place} is "${clip(text)}", colours end at 255`);
    return { name: match?.[1] ?? text, color, place };
  });
  return classList(rows, [], source, false);
}

/** The classes of a spec. */
export function givenClasses(lines: readonly string[]): ClassList {
  return listedClasses(
    lines.map((text, index) => ({ text: text.trim(), number: index + 1 })),
    "dataset.classes",
  );
}

/** Names that stand for pixels without a class in lists of colours. */
const VOID = /^(void|ignore|ignored|unlabell?ed|unknown)$/i;

/** Classes from a table with the columns name, r, g, b (class_dict.csv). A row named void, unlabelled or ignore is no class: its colour is ignored. */
export function tabulatedClasses(lines: readonly Line[], source: string): ClassList {
  const cells = ({ text }: Line): string[] => text.split(",").map((cell) => cell.trim().replace(/^"(.*)"$/, "$1"));
  const [header, ...body] = lines;
  const columns = header ? cells(header).map((name) => name.toLowerCase()) : [];
  const [name, ...parts] = ["name", "r", "g", "b"].map((column) => columns.indexOf(column));
  if (header === undefined || name === undefined || [name, ...parts].includes(-1))
    throw datasetFault(`${source} begins with "${clip(header?.text ?? "")}", must begin with the columns name,r,g,b`);
  const rows = body.map((line) => {
    const row = cells(line);
    const color = parts.map((column) => Number(row[column] || Number.NaN)) as unknown as Color;
    const place = `${source} line ${line.number}`;
    if (!row[name] || color.some((part) => !Number.isInteger(part) || part < 0 || part > 255))
      throw datasetFault(`${place} is "${clip(line.text)}", must be a name and three numbers from 0 to 255`);
    return { name: row[name], color, place };
  });
  const isVoid = (row: Row): boolean => VOID.test(row.name);
  return classList(
    rows.filter((row) => !isVoid(row)),
    rows.filter(isVoid),
    source,
    true,
  );
}

function classList(rows: readonly Row[], voids: readonly Row[], source: string, byColor: boolean): ClassList {
  if (rows.length < 2 || rows.length > MAX_CLASSES)
    throw datasetFault(`${source} names ${rows.length} classes, must be 2 to ${MAX_CLASSES}`);
  const names = new Set<string>();
  for (const { name, place } of rows) {
    if (names.has(name)) throw datasetFault(`${place} repeats the class "${clip(name)}"`);
    names.add(name);
  }
  const colors = rows.map(({ color }, index) => color ?? bitColor(index + 1));
  const masks = masksOf(rows, voids, byColor);
  return { names: [...names], colors, ...(masks && { masks }), source, byColor };
}

/** Two classes of one colour cannot be told apart in a mask: in a list of colours that is a fault, else masks of colours are not read. */
function masksOf(
  rows: readonly Row[],
  voids: readonly Row[],
  byColor: boolean,
): ReadonlyMap<number, number> | undefined {
  const masks = new Map<number, number>();
  for (const { color } of voids) if (color) masks.set(rgb(...color), IGNORE);
  for (const [index, { color, place }] of rows.entries()) {
    if (color === undefined) return undefined;
    if (!masks.has(rgb(...color))) masks.set(rgb(...color), index);
    else if (byColor) throw datasetFault(`${place} repeats the colour ${color.join(" ")} of another line`);
    else return undefined;
  }
  return masks;
}

/** Distinct colours for any number of classes: the bits of a number, lowest first, are distributed over the colour bytes from the top. */
export function bitColor(index: number): Color {
  const color: [number, number, number] = [0, 0, 0];
  for (let bits = index, place = 7; bits > 0; bits >>= 3, place--) {
    color[0] |= (bits & 1) << place;
    color[1] |= ((bits >> 1) & 1) << place;
    color[2] |= ((bits >> 2) & 1) << place;
  }
  return color;
}
