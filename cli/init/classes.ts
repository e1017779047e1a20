import { datasetFault, IGNORE } from "../../shared/data/dataset";
import type { DatasetSpec } from "../../shared/proto/lathe/v1/spec";
import { MOST_COLORS, type Stored } from "./values";

/** Classes for labels whose classes no list names, and what was assumed. */
export interface Proposal {
  /** Fields of the spec. */
  readonly fields: Partial<Pick<DatasetSpec, "classes" | "labelValues">>;
  /** The share of all pixels that each class has, in the order of the classes. */
  readonly shares: readonly number[];
  /** What was assumed, one line each. */
  readonly assumed: readonly string[];
}

/** Where nothing has to be proposed. */
export const NOTHING: Proposal = { fields: {}, shares: [], assumed: [] };

const BLACK = 0;

/** Proposes classes for what labels store. DATASET_INVALID says why values or colours cannot be classes. */
export function proposed(stored: Stored): Proposal {
  if (stored.colored > 0 && stored.colored < stored.labels)
    throw datasetFault(
      `${stored.colored} of ${stored.labels} labels are images of colours, the others store values: list the classes with their colours in classes.txt`,
    );
  return stored.colored > 0 ? ofColors(stored) : ofValues(stored);
}

/**
 * What labels store for the classes of a list. Values are indices of the list; where some are not, and there are as many as classes, they are
 * the classes in their order. Masks of 0 and 255 are two classes.
 */
export function ofListed(names: readonly string[], { values, colored }: Stored): Proposal {
  const { classes } = classValues(values);
  const areIndices = classes.every((value) => value < names.length);
  if (colored > 0 || areIndices || classes.length !== names.length) return NOTHING;
  return {
    fields: { labelValues: Object.fromEntries(classes.map((value, at) => [value, names[at]!])) },
    shares: [],
    assumed: [
      `the values of the labels are the classes of the list: ${classes.map((v, at) => `${v} ${names[at]}`).join(", ")}`,
    ],
  };
}

function ofColors({ colors }: Stored): Proposal {
  if (colors.size > MOST_COLORS)
    throw datasetFault(
      `the labels have more than ${MOST_COLORS} colours, which cannot be classes: masks must be stored without smoothed edges and not as JPEG; or list the classes with their colours in classes.txt`,
    );
  requireTwo(colors.size, "colour");
  const listed = [...colors].sort(([a], [b]) => a - b);
  const isBinary = listed.length === 2 && colors.has(BLACK);
  const names = listed.map(([color], index) =>
    color === BLACK ? "background" : isBinary ? "foreground" : `class${index}`,
  );
  const assumed = ["each colour of the labels is a class; give them their names"];
  if (colors.has(BLACK))
    assumed.push(
      "black is the class background; if it means that nothing is labelled, remove that line, and it is ignored",
    );
  return {
    fields: { classes: listed.map(([color], index) => `${names[index]} ${parts(color)}`) },
    shares: shared(listed.map(([, count]) => count)),
    assumed,
  };
}

/** The values that labels store, and those of them that can be classes. */
function classValues(values: Stored["values"]): { present: number[]; classes: number[]; isBinary: boolean } {
  const present = values.flatMap((count, value) => (count > 0 ? [value] : []));
  // Masks of 0 and 255 have no other foreground; beside others, 255 is the border or nothing.
  const isBinary = present.length === 2 && present[0] === 0 && present[1] === IGNORE;
  return { present, isBinary, classes: isBinary ? present : present.filter((value) => value !== IGNORE) };
}

function ofValues({ values, palette }: Stored): Proposal {
  const { present, classes, isBinary } = classValues(values);
  requireUnsmoothed(values, present);
  requireTwo(classes.length, "value", present.includes(IGNORE) ? " beside 255, which is ignored" : "");
  const assumed: string[] = [];
  if (isBinary) assumed.push("0 is the background and 255 the foreground");
  else {
    assumed.push("each value of the labels is a class; give them their names");
    if (present.includes(IGNORE)) assumed.push("255 is ignored");
    if (classes.length > MANY && palette.size === 0)
      assumed.push(`all ${classes.length} values are classes, though photographs and smoothed masks store as many`);
    if (classes[0] === 0 && classes.length > 2)
      assumed.push("0 is a class; if it means that nothing is labelled, move it from label_values to ignore_values");
  }
  const isForeground = classes.length === 2 && classes[0] === 0;
  const names = classes.map((value) => (isForeground ? (value === 0 ? "background" : "foreground") : `class${value}`));
  const colored = (value: number, at: number): string =>
    palette.size > 0 ? `${names[at]} ${parts(palette.get(value) ?? 0)}` : names[at]!;
  const isPlain = !isBinary && classes.every((value, at) => value === at);
  return {
    fields: {
      classes: classes.map(colored),
      ...(!isPlain && { labelValues: Object.fromEntries(classes.map((value, at) => [value, names[at]!])) }),
    },
    shares: shared(classes.map((value) => values[value]!)),
    assumed,
  };
}

function requireTwo(count: number, what: string, beside = ""): void {
  if (count >= 2) return;
  throw datasetFault(
    `the labels store ${count} ${what}${count === 1 ? "" : "s"} that can be a class${beside}, at least 2 are needed`,
  );
}

/** Refuses masks of 0 and 255 whose edges were smoothed: few pixels have many values between the two. */
function requireUnsmoothed(values: readonly number[], present: readonly number[]): void {
  const between = present.filter((value) => value > 0 && value < IGNORE);
  const count = (list: readonly number[]): number => list.reduce((sum, value) => sum + values[value]!, 0);
  const share = count(between) / count(present);
  if (!(values[0]! > 0 && values[IGNORE]! > 0) || between.length < SMOOTHED.values || share > SMOOTHED.share) return;
  throw datasetFault(
    `the labels are masks of 0 and 255 with ${between.length} values between them, in ${(100 * share).toFixed(1)} % of the pixels: their edges were smoothed; store them without (nearest neighbour, no JPEG)`,
  );
}

/** From this many values between 0 and 255, in at most this share of the pixels, edges count as smoothed. */
const SMOOTHED = { values: 4, share: 0.2 };

/** From more values than this on, it is said that they may be no classes. */
const MANY = 64;

const parts = (color: number): string => [color >> 16, (color >> 8) & 255, color & 255].join(" ");

function shared(counts: readonly number[]): number[] {
  const all = counts.reduce((sum, count) => sum + count, 0);
  return counts.map((count) => count / Math.max(1, all));
}
