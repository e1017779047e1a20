import { relative } from "node:path";
import type { DataReport, SplitReport } from "../../shared/data/check";
import { percent, quantity } from "./format";

/** Files of a fault, and sizes of images, that are named. */
const NAMED = 10;
const SIZES = 3;

/** A report as text: the splits, a table of the classes, what was passed over, warnings, and each fault once with its files. */
export function dataReportLines(report: DataReport, folder: string): string[] {
  return [
    ...(["train", "validation"] as const).map((split) => splitLine(split, report[split])),
    ...classLines(report),
    ...(report.sha256 === undefined ? [] : [`fingerprint ${report.sha256}`]),
    ...remarkLines(report),
    ...faultLines(report, folder),
    ...(report.faults.length === 0 ? ["no fault"] : []),
  ];
}

/** What was passed over or assumed, and what the data lacks. */
export const remarkLines = ({ warnings, notes }: DataReport): string[] => [
  ...notes.map((note) => `note: ${note}`),
  ...warnings.map((warning) => `warning: ${warning}`),
];

/** Each fault once, with the number of its files and the first of them. */
export const faultLines = ({ faults }: DataReport, folder: string): string[] =>
  faults.flatMap(({ what, files }) => {
    if (files.length === 0) return [`fault: ${what}`];
    const named = files.slice(0, NAMED).map((file) => `  ${relative(folder, file)}`);
    const more = files.length - named.length;
    return [`fault: ${what} (${files.length})`, ...named, ...(more > 0 ? [`  and ${more} more`] : [])];
  });

function splitLine(split: string, { examples, pixels, ignoredPixels, sizes }: SplitReport): string {
  const all = pixels.reduce((sum, count) => sum + count, ignoredPixels);
  const told = sizes.slice(0, SIZES).map(([size, count]) => `${size} (${count})`);
  const more = sizes.length > SIZES ? `, ${sizes.length - SIZES} more sizes` : "";
  return `${split}: ${examples} examples, ${told.join(", ") || "no size"}${more}; ${percent(ignoredPixels / Math.max(1, all))} of ${quantity(all)} pixels ignored`;
}

/** Per class and split: its share of the labelled pixels, and the images in which it occurs. */
function classLines({ classes, train, validation }: DataReport): string[] {
  const share = ({ pixels }: SplitReport, at: number): string =>
    percent(
      (pixels[at] ?? 0) /
        Math.max(
          1,
          pixels.reduce((sum, count) => sum + count, 0),
        ),
    );
  const rows = [
    ["class", "train", "images", "validation", "images"],
    ...classes.map((name, at) => [
      name,
      share(train, at),
      `${train.images[at] ?? 0}/${train.examples}`,
      share(validation, at),
      `${validation.images[at] ?? 0}/${validation.examples}`,
    ]),
  ];
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows.map((row) =>
    row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!))).join("  "),
  );
}

/** A report as JSON: shares are left to the reader. */
export function dataReportJson({ classes, train, validation, ...rest }: DataReport): object {
  const split = ({ pixels, images, sizes, ...others }: SplitReport): object => ({
    ...others,
    sizes: Object.fromEntries(sizes),
    classes: classes.map((name, at) => ({ name, pixels: pixels[at], images: images[at] })),
  });
  return { train: split(train), validation: split(validation), ...rest };
}
