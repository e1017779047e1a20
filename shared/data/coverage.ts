import { ranges, type LabelCoding } from "./coding";
import { IGNORE } from "./dataset";

/** The pixels of a split. */
export interface Counts {
  /** By label at the data set's size, [256]. */
  readonly pixels: readonly number[];
  /** Whether a label of the split was read by value. */
  readonly byValue: boolean;
  /** Pixels of the files that are ignored because their colour is black and not listed. */
  readonly unlisted: number;
}

/** The judgement of a data set's labels. */
export interface Coverage {
  /** Why a training would be meaningless; undefined where it is not. */
  readonly fault: string | undefined;
  /** Findings that a user should know before a training. */
  readonly warnings: readonly string[];
}

/** A larger share of ignored pixels is worth a warning: the borders and void classes of public data sets are below it. */
const MANY_IGNORED = 0.5;
/** Names of classes in a message. */
const NAMES_TO_TELL = 10;

/**
 * Judges the counted labels of both splits. A split without a labelled pixel, and a training split with pixels of one class alone, are
 * faults: no network could be scored, or any that predicts one class would be perfect.
 */
export function coverageOf(names: readonly string[], coding: LabelCoding, train: Counts, validation: Counts): Coverage {
  const training = splitOf("training", train, names);
  const validating = splitOf("validation", validation, names);
  const ignored = (...splits: readonly SplitCoverage[]): string[] => ignoredTexts(splits, names, coding);
  for (const split of [training, validating])
    if (split.present.length === 0) return fault(`the ${split.what} split has no labelled pixel`, ignored(split));
  const absent = absentTexts(training, validating, names);
  const only = training.present.length === 1 ? names[training.present[0]!] : undefined;
  if (only !== undefined)
    return fault(`only class "${only}" has training pixels, so there is nothing to learn`, [
      ...absent,
      ...ignored(training, validating),
    ]);
  const isSuspicious = training.present.length < names.length;
  const many = [training, validating].filter(({ ignoredShare }) => ignoredShare > (isSuspicious ? 0 : MANY_IGNORED));
  const first = [...absent, ...ignored(...many)];
  const alone = validating.present.length === 1 ? names[validating.present[0]!] : undefined;
  const unlisted = train.unlisted + validation.unlisted;
  const warnings = [
    first.length > 0 && first.join("; "),
    alone !== undefined &&
      `only class "${alone}" has validation pixels: a network that predicts nothing else has the best mIoU`,
    unlisted > 0 &&
      `${unlisted} pixels of labels have the colour 0 0 0, which is that of no class: they are ignored; list the colour if it is a class`,
  ];
  return { fault: undefined, warnings: warnings.filter((warning) => warning !== false) };
}

const fault = (what: string, because: readonly string[]): Coverage => ({
  fault: [what, ...because].join("; "),
  warnings: [],
});

interface SplitCoverage {
  readonly what: string;
  /** Classes with pixels. */
  readonly present: readonly number[];
  readonly ignoredShare: number;
  readonly byValue: boolean;
}

function splitOf(what: string, { pixels, byValue }: Counts, names: readonly string[]): SplitCoverage {
  const ofClasses = pixels.slice(0, names.length);
  const labelled = ofClasses.reduce((sum, count) => sum + count, 0);
  const ignored = pixels[IGNORE] ?? 0;
  return {
    what,
    present: ofClasses.flatMap((count, index) => (count > 0 ? [index] : [])),
    ignoredShare: ignored / Math.max(1, labelled + ignored),
    byValue,
  };
}

/** Which classes have no pixel, in both splits or in one. */
function absentTexts(training: SplitCoverage, validation: SplitCoverage, names: readonly string[]): string[] {
  const lacks = ({ present }: SplitCoverage, at: number): boolean => !present.includes(at);
  const told = (lack: string, isTold: (inTraining: boolean, inValidation: boolean) => boolean): string[] => {
    const classes = names.filter((_, at) => isTold(!lacks(training, at), !lacks(validation, at)));
    if (classes.length === 0) return [];
    const shown = classes.slice(0, NAMES_TO_TELL).map((name) => `"${name}"`);
    const more = classes.length > shown.length ? ` and ${classes.length - shown.length} more` : "";
    const [what, has] = classes.length > 1 ? ["classes", "have"] : ["class", "has"];
    return [`${what} ${shown.join(", ")}${more} ${has} no ${lack}`];
  };
  return [
    ...told("pixel", (inTraining, inValidation) => !inTraining && !inValidation),
    ...told("training pixel", (inTraining, inValidation) => !inTraining && inValidation),
    ...told("validation pixel", (inTraining, inValidation) => inTraining && !inValidation),
  ];
}

/** The shares of ignored pixels, and what to do if they are meant as a class. */
function ignoredTexts(splits: readonly SplitCoverage[], names: readonly string[], coding: LabelCoding): string[] {
  const some = splits.filter(({ ignoredShare }) => ignoredShare > 0);
  const stored = coding.values?.flatMap((to, value) => (to === IGNORE ? [value] : [])) ?? [];
  const byValue = some.some((split) => split.byValue) && stored.length > 0;
  const texts = some.map(
    ({ what, ignoredShare }) =>
      `${(100 * ignoredShare).toFixed(1)} % of the ${what} pixels are ignored${byValue ? ` (${ranges(stored)})` : ""}`,
  );
  // Only a folder has a meaning of values that a spec can change.
  if (!byValue || !stored.includes(IGNORE) || coding.advice === undefined) return texts;
  const example = names.length === 2 ? `{0: ${names[0]}, ${IGNORE}: ${names[1]}}` : "each value with its class";
  return [...texts, `if ${IGNORE} is a class, say so in the spec, dataset.label_values: ${example}`];
}
