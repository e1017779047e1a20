import { LatheError } from "../process/errors";
import { classesOf } from "./coding";
import { coverageOf, type Counts } from "./coverage";
import { datasetFault, IGNORE, reasonOf } from "./dataset";
import { decodePixels } from "./decode";
import { faultsOf } from "./faults";
import { checkPair } from "./files";
import { codingPrint, dataPrint, sha256, splitPrint } from "./fingerprint";
import { decodeLabel, readFileOf, type Size } from "./images";
import { usedFiles, type Layout, type Pair, type Use } from "./layouts/layout";

/** Faults of one kind, told once. */
interface FaultGroup {
  /** The kind, or the message of the first without its file. */
  readonly what: string;
  readonly files: readonly string[];
}

/** The counts of a split. */
export interface SplitReport {
  readonly examples: number;
  /** Labelled pixels of each class, and images in which it occurs. */
  readonly pixels: readonly number[];
  readonly images: readonly number[];
  readonly ignoredPixels: number;
  /** Number of images of each size, "WIDTHxHEIGHT", most frequent first. */
  readonly sizes: readonly (readonly [string, number])[];
}

export interface DataReport {
  readonly classes: readonly string[];
  /** The fingerprint of what a search of this spec reads; undefined where a file could not be read. */
  readonly sha256: string | undefined;
  readonly train: SplitReport;
  readonly validation: SplitReport;
  readonly faults: readonly FaultGroup[];
  readonly warnings: readonly string[];
  readonly notes: readonly string[];
}

/**
 * Decodes every file of a layout once, and reports all faults, the pixels of each class and images of equal content. It keeps no image.
 * `progress` is called after each example with the number of those that are done.
 */
export async function checkLayout(
  layout: Layout,
  use: Use,
  progress: (done: number, of: number) => void,
): Promise<DataReport> {
  const faults = [...layout.faults];
  const files = new Map<string, Content>();
  const of = layout.train.length + layout.validation.length;
  let done = 0;
  const count = async (pairs: readonly Pair[]): Promise<Tally> => {
    const tally = emptyTally(layout.info.classes.length);
    const check = async (index: number): Promise<void> => {
      faults.push(...(await examined(pairs[index]!, layout, tally, files)));
      progress(++done, of);
    };
    faults.push(...(await faultsOf(pairs.length, check, Infinity)));
    return tally;
  };
  const train = await count(layout.train);
  const validation = await count(layout.validation);
  const { fault, warnings } = coverageOf(layout.info.classes, layout.coding, train, validation);
  // Labels that were not read say nothing about their coverage.
  if (fault !== undefined && faults.length === 0) faults.push(datasetFault(fault));
  const print = faults.length === 0 ? printed(layout, use, files) : undefined;
  if (print instanceof LatheError) faults.push(print);
  return {
    classes: layout.info.classes,
    sha256: typeof print === "string" ? print : undefined,
    train: reported(train, layout.train.length),
    validation: reported(validation, layout.validation.length),
    faults: grouped(faults),
    warnings: [...equalContent(layout, files), ...(faults.length === 0 ? warnings : [])],
    notes: layout.notes,
  };
}

/** SHA-256 of a file. */
type Content = string;

/** The fingerprint of what a search uses; the fault where it asks for more examples than there are. */
function printed(layout: Layout, use: Use, files: ReadonlyMap<string, Content>): string | LatheError {
  try {
    const { train, validation } = usedFiles(use, layout);
    const [first, second] = [train, validation].map(
      (pairs) => splitPrint(use.path ?? "", pairs, (path) => files.get(path) ?? "").sha256,
    );
    return dataPrint(codingPrint(layout.info.classes, layout.coding), first!, second!);
  } catch (error) {
    return LatheError.from(error);
  }
}

interface Tally extends Counts {
  pixels: number[];
  images: number[];
  sizes: Map<string, number>;
  byValue: boolean;
  unlisted: number;
}

const emptyTally = (classes: number): Tally => ({
  pixels: new Array<number>(256).fill(0),
  images: new Array<number>(classes).fill(0),
  sizes: new Map(),
  byValue: false,
  unlisted: 0,
});

/** Decodes a pair, counts it, notes the digests of its files, and returns every fault of it. */
async function examined(
  pair: Pair,
  { coding }: Layout,
  tally: Tally,
  files: Map<string, Content>,
): Promise<LatheError[]> {
  const faults: LatheError[] = [];
  const noted = async <T>(file: string, work: () => Promise<T>): Promise<T | undefined> =>
    work().catch((thrown: unknown) => void faults.push(ofPair(LatheError.from(thrown), file, pair)));
  const image = await noted(pair.image, () => imageOf(pair.image, files));
  const label = await noted(pair.label, async () => {
    const bytes = await readFileOf("label", pair.label);
    files.set(pair.label, sha256(bytes));
    const stored = await decodeLabel(pair.label, bytes);
    const { height, width } = stored;
    return { ...classesOf(stored, coding, pair.label), stored: { height, width } };
  });
  if (label) countLabel(tally, label.data, label);
  if (image) {
    const size = `${image.stored.width}x${image.stored.height}`;
    tally.sizes.set(size, (tally.sizes.get(size) ?? 0) + 1);
  }
  if (image && label) await noted(pair.label, () => Promise.resolve().then(() => checkPair(pair, image, label)));
  return faults;
}

async function imageOf(path: string, files: Map<string, Content>): Promise<{ stored: Size; orientation: number }> {
  const bytes = await readFileOf("image", path);
  try {
    const { height, width, orientation } = await decodePixels(bytes);
    // After decoding: what cannot be decoded is no duplicate.
    files.set(path, sha256(bytes));
    return { stored: { height, width }, orientation };
  } catch (error) {
    throw datasetFault(`image ${path} cannot be decoded: ${reasonOf(error)}`, "INVALID_ARGUMENT", error);
  }
}

function countLabel(tally: Tally, data: Uint8Array, { byValue, unlisted }: Pick<Counts, "byValue" | "unlisted">): void {
  const pixels = new Array<number>(256).fill(0);
  for (const value of data) pixels[value]! += 1;
  pixels.forEach((count, value) => (tally.pixels[value]! += count));
  tally.images.forEach((_, index) => (tally.images[index]! += pixels[index]! > 0 ? 1 : 0));
  tally.byValue ||= byValue;
  tally.unlisted += unlisted;
}

function reported({ pixels, images, sizes }: Tally, examples: number): SplitReport {
  const byCount = [...sizes].sort(([a, one], [b, other]) => other - one || (a < b ? -1 : 1));
  return {
    examples,
    pixels: pixels.slice(0, images.length),
    images,
    ignoredPixels: pixels[IGNORE] ?? 0,
    sizes: byCount,
  };
}

/** A fault of a file of a pair, without its path in the message. Messages that differ in numbers alone are of one kind. */
function ofPair(error: LatheError, file: string, { image, label }: Pair): LatheError {
  const what = error.message.replace(`${image} `, "").replace(`${label} `, "");
  return new LatheError(error.code, what, {
    reason: error.reason,
    metadata: { kind: what.replace(/\d+/g, "#"), file },
  });
}

function grouped(faults: readonly LatheError[]): FaultGroup[] {
  const groups = new Map<string, { what: string; files: string[] }>();
  // Files are read a few at a time, so faults come in any order.
  const inOrder = [...faults].sort((a, b) => ((a.metadata.file ?? "") < (b.metadata.file ?? "") ? -1 : 1));
  for (const { message, metadata } of inOrder) {
    const { kind = message, file } = metadata;
    const group = groups.get(kind) ?? { what: kind.includes("#") ? message : kind, files: [] };
    groups.set(kind, group);
    if (file !== undefined) group.files.push(file);
  }
  return [...groups.values()];
}

/** Names images of the same content: twice in a split they weigh more, in both splits they spoil the validation. */
function equalContent({ train, validation }: Layout, files: ReadonlyMap<string, Content>): string[] {
  const first = new Map<Content, { image: string; split: string }>();
  const told = new Map<string, { count: number; example: string }>();
  for (const [split, pairs] of [["training", train] as const, ["validation", validation] as const])
    for (const { image } of pairs) {
      const content = files.get(image);
      if (content === undefined) continue;
      const known = first.get(content);
      if (known === undefined) first.set(content, { image, split });
      else {
        const kind =
          known.split === split
            ? `equal other ${split} images`
            : "equal training images, so the validation mIoU is too good";
        const { count, example } = told.get(`${split} images ${kind}`) ?? {
          count: 0,
          example: `${image} and ${known.image}`,
        };
        told.set(`${split} images ${kind}`, { count: count + 1, example });
      }
    }
  return [...told].map(([what, { count, example }]) => `${count} ${what}: the first are ${example}`);
}
