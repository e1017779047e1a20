import { basename } from "node:path";
import { LatheError } from "../process/errors";
import type { DatasetFigures } from "../proto/lathe/v1/result";
import { DatasetKind, DatasetSpec } from "../proto/lathe/v1/spec";
import { decodedCache } from "./access";
import { confinedTo } from "./confinement";
import { camvidLayout } from "./layouts/camvid";
import { cityscapesLayout } from "./layouts/cityscapes";
import { type Dataset, type DatasetInfo, datasetFault } from "./dataset";
import { requireNone } from "./faults";
import { folderLayout, type FolderSpec } from "./layouts/folder";
import "./images"; // sharp must be loaded by the main thread first; otherwise its libraries are unloaded with the first thread that ends
import { usedFiles, type Layout, type Pair } from "./layouts/layout";
import { LoadingThread, threadSplit, type Source } from "./loading/loading";
import { streetsInfo } from "./streets/classes";

export * from "./dataset";

interface DatasetOptions {
  readonly kind: "streets" | "camvid" | "cityscapes" | "folder";
  /** Folder of the files; streets need none. */
  readonly path?: string;
  /** The spec describes the files here; only kind folder has it. */
  readonly folder?: FolderSpec;
  /** Licence of the data; it becomes part of the data set's info. */
  readonly license?: string;
  /** Size to which examples are resized, or at which they are drawn. */
  readonly height: number;
  readonly width: number;
  /** Expected number of classes; another number in the data set is an error. */
  readonly classes?: number;
  /** Number of scenes to draw, or of files to use (at even distances). */
  readonly trainExamples?: number;
  readonly validationExamples?: number;
  /** Seed of the scenes; files do not depend on it. */
  readonly seed: number;
  /** Batch sizes by their field in the spec. The training split must hold one batch of each, because partial batches are dropped. */
  readonly batchSizes?: Readonly<Record<string, number>>;
  /** Memory for decoded examples, 1 GiB by default. Examples beyond it are decoded again in every epoch. */
  readonly cacheBytes?: number;
}

const KINDS = new Map<DatasetKind, DatasetOptions["kind"]>([
  [DatasetKind.DATASET_KIND_STREETS, "streets"],
  [DatasetKind.DATASET_KIND_CAMVID, "camvid"],
  [DatasetKind.DATASET_KIND_CITYSCAPES, "cityscapes"],
  [DatasetKind.DATASET_KIND_FOLDER, "folder"],
]);

/** Options to open the data set of a resolved spec with the size and classes of a space or genotype. */
export function datasetOptions(
  spec: { dataset: DatasetSpec; seed: number },
  { inputHeight, inputWidth, classes }: { inputHeight: number; inputWidth: number; classes: number },
  batchSizes: Readonly<Record<string, number>> = {},
): DatasetOptions {
  const { kind, path, trainExamples, validationExamples, license } = spec.dataset;
  return {
    kind: KINDS.get(kind) ?? "streets",
    height: inputHeight,
    width: inputWidth,
    classes,
    seed: spec.seed,
    folder: spec.dataset,
    batchSizes,
    ...(path && { path }),
    ...(license && { license }),
    ...(trainExamples && { trainExamples }),
    ...(validationExamples && { validationExamples }),
  };
}

/** Scenes per split unless a number is given: enough that a small network does not memorise them. */
const DEFAULT_SCENES = { train: 512, validation: 128 };
const DEFAULT_CACHE_BYTES = 2 ** 30;
const LAYOUTS: Record<"camvid" | "cityscapes" | "folder", (path: string, folder: FolderSpec) => Promise<Layout>> = {
  camvid: camvidLayout,
  cityscapes: cityscapesLayout,
  folder: folderLayout,
};

interface Contents {
  readonly info: DatasetInfo;
  readonly source: Source;
  readonly train: Listing;
  readonly validation: Listing;
  readonly notes: readonly string[];
  /** Warnings that need no file to be read. */
  readonly warnings: readonly string[];
}

interface Listing {
  readonly length: number;
  readonly name: (index: number) => string;
}

/**
 * Opens a data set and decodes every file once, which finds all faults before a training starts and fills the cache. Faults of the data
 * are LatheErrors with reason DATASET_INVALID that name the file. close() ends the thread.
 */
export async function openDataset(options: DatasetOptions): Promise<Dataset> {
  const { dataset, checked } = await beginDataset(options);
  try {
    await checked;
  } catch (error) {
    await dataset.close();
    throw error;
  }
  return dataset;
}

/**
 * Options of the same data set with at most this number of training examples, at even distances in the list of all: the others are neither
 * read nor checked.
 */
export async function withFewTraining(options: DatasetOptions, most: number): Promise<DatasetOptions> {
  const { kind, trainExamples = kind === "streets" ? DEFAULT_SCENES.train : (await listFiles(options)).train.length } =
    options;
  return { ...options, trainExamples: Math.min(most, Math.max(1, trainExamples)) };
}

/** A data set whose files are still being decoded. Faults reject `checked` and every later request. */
interface BegunDataset {
  dataset: Dataset;
  /** Resolves when every file has been decoded; rejects as openDataset does. */
  checked: Promise<void>;
}

/** Opens a data set without waiting for its files: when this resolves, they are listed and being decoded. */
export async function beginDataset(options: DatasetOptions): Promise<BegunDataset> {
  checkOptions(options);
  const { height, width, cacheBytes = DEFAULT_CACHE_BYTES } = options;
  const { info, source, train, validation, notes, warnings } =
    options.kind === "streets" ? scenes(options) : await files(options);
  if (options.classes !== undefined && options.classes !== info.classes.length) {
    const where = options.path === undefined ? "" : ` at ${options.path}`;
    throw datasetFault(`dataset ${info.kind}${where} has ${info.classes.length} classes, ${options.classes} expected`);
  }
  requireBatches(options, train.length);
  const size = { height, width };
  const name = options.path ?? options.kind;
  const [folders, cache] = [confinedTo(), decodedCache()];
  const thread = new LoadingThread({ name, source, size, cacheBytes, folders, cache });
  const checked = thread.ask<void>({ kind: "check" });
  // Errors reach whoever awaits `checked`; after close() they are dropped.
  checked.catch(() => {});
  const dataset = {
    info: { ...info, ...(options.license !== undefined && { license: options.license }) },
    ...size,
    train: threadSplit(thread, "train", size, train.length, train.name),
    validation: threadSplit(thread, "validation", size, validation.length, validation.name),
    notes,
    warnings: async () => [...warnings, ...(await thread.ask<string[]>({ kind: "warnings" }))],
    figures: () => thread.ask<DatasetFigures>({ kind: "figures" }),
    close: () => thread.close(),
  };
  return { dataset, checked };
}

function scenes(options: DatasetOptions): Contents {
  const listing = (split: string, length: number): Listing => ({ length, name: (index) => `${split}/${index}` });
  const { trainExamples: train = DEFAULT_SCENES.train, validationExamples: validation = DEFAULT_SCENES.validation } =
    options;
  return {
    info: streetsInfo,
    source: { kind: "scenes", seed: options.seed, classes: streetsInfo.classes, train, validation },
    train: listing("train", train),
    validation: listing("validation", validation),
    notes: [],
    warnings: [],
  };
}

/** Warns of images that are in both splits. */
function sharedWarning(train: readonly Pair[], validation: readonly Pair[]): string[] {
  const images = new Set(train.map(({ image }) => image));
  const both = validation.filter(({ image }) => images.has(image));
  if (both.length === 0) return [];
  const shared = `the splits share ${both.length} image${both.length > 1 ? "s" : ""}, the first is ${both[0]!.image}`;
  return [`${shared}: the validation mIoU is too good`];
}

/** Lists the files of a data set without reading them. The faults of their names are in the layout. */
export async function listFiles({
  kind,
  path,
  folder,
}: Pick<DatasetOptions, "kind" | "path" | "folder">): Promise<Layout> {
  if (kind === "streets" || path === undefined || path === "") {
    throw datasetFault(`dataset ${kind} needs a path: the folder that holds it`);
  }
  return LAYOUTS[kind](path, folder ?? DatasetSpec.fromPartial({}));
}

async function files(options: DatasetOptions): Promise<Contents> {
  const layout = await listFiles(options);
  requireNone(layout.faults);
  const used = usedFiles(options, layout);
  const { train, validation } = used;
  const listing = (pairs: typeof train): Listing => ({
    length: pairs.length,
    name: (index) => basename(pairs[index]?.image ?? ""),
  });
  return {
    info: layout.info,
    source: { kind: "files", folder: options.path ?? "", coding: layout.coding, classes: layout.info.classes, ...used },
    train: listing(train),
    validation: listing(validation),
    notes: layout.notes,
    warnings: sharedWarning(train, validation),
  };
}

/** INVALID_ARGUMENT with each batch size that is larger than the training split. */
function requireBatches({ batchSizes = {} }: DatasetOptions, examples: number): void {
  const violations = Object.entries(batchSizes)
    .filter(([, size]) => size > examples)
    .map(([field, size]) => ({
      field,
      description: `is ${size}, must be at most ${examples}, the size of the training split`,
    }));
  if (violations.length === 0) return;
  const message = violations.map(({ field, description }) => `${field} ${description}`).join("; ");
  throw new LatheError("INVALID_ARGUMENT", message, { reason: "BATCH_TOO_LARGE", violations });
}

function checkOptions(options: DatasetOptions): void {
  const atLeast = (field: Exclude<keyof DatasetOptions, "folder" | "batchSizes">, bound: number): void => {
    const value = options[field];
    if (value === undefined || (Number.isSafeInteger(value) && Number(value) >= bound)) return;
    throw new LatheError(
      "INVALID_ARGUMENT",
      `dataset ${field} is ${value}, must be a whole number of at least ${bound}`,
    );
  };
  atLeast("height", 8);
  atLeast("width", 8);
  atLeast("trainExamples", 1);
  atLeast("validationExamples", 1);
  atLeast("seed", 0);
  atLeast("cacheBytes", 0);
}
