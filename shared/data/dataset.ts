import { LatheError, type ErrorCode } from "../process/errors";
import type { DatasetFigures } from "../proto/lathe/v1/result";

/** Label of pixels that losses and metrics leave out. */
export const IGNORE = 255;

/** Longest quote from a file in a message. */
const MAX_QUOTE = 64;

export interface DatasetInfo {
  readonly kind: string;
  readonly classes: readonly string[];
  readonly colors: readonly (readonly [number, number, number])[];
  /** Licence of the data, where the spec gives it. */
  readonly license?: string;
}

/** One decoded example at the dataset's size: image [H,W,3] RGB, label [H,W] with class indices or IGNORE. */
export interface Example {
  readonly image: Uint8Array;
  readonly label: Uint8Array;
}

/**
 * An image scaled by `scale`, both axes alike. x and y, 0 to 1, place it: the share of the pixels in excess that are left of and above the
 * crop, or, of an image smaller than the output, the share of the uncovered pixels that are left of and above it.
 */
export interface Zoom {
  readonly scale: number;
  readonly x: number;
  readonly y: number;
}

/** Factors of the distances from black, from the image's mean grey and from the pixel's grey. 1 changes nothing. */
export interface ColorFactors {
  readonly brightness: number;
  readonly contrast: number;
  readonly saturation: number;
}

/**
 * The examples of a batch and their augmentation. Element i of each list belongs to example indices[i]. Colours change first; flips come
 * before zooms, zooms before shifts.
 */
export interface BatchOrder {
  readonly indices: readonly number[];
  readonly flips: readonly boolean[];
  readonly shiftsX: readonly number[];
  readonly shiftsY: readonly number[];
  readonly zooms?: readonly Zoom[];
  readonly colors?: readonly ColorFactors[];
  readonly labelStride: number;
}

/** images [N,3,H,W] = pixel / 255; labels [N, H / labelStride, W / labelStride] with class indices or IGNORE. */
export interface Batch {
  readonly images: Float32Array;
  readonly labels: Int32Array;
  readonly size: number;
  readonly indices: number[];
}

/** One split of a data set. Every method but name() runs on the data set's thread. */
export interface Split {
  readonly length: number;
  readonly height: number;
  readonly width: number;
  name(index: number): string;
  example(index: number): Promise<Example>;
  /** Assembles a batch. It may take over the memory of `spare`, which must not be used afterwards. */
  assemble(order: BatchOrder, spare?: Batch): Promise<Batch>;
  /** Counts the labelled pixels per class over the whole split, at the data set's size. */
  countPixels(classes: number): Promise<number[]>;
}

export interface Dataset {
  readonly info: DatasetInfo;
  readonly height: number;
  readonly width: number;
  readonly train: Split;
  readonly validation: Split;
  /** The notes on the files: each says in a line what was passed over or assumed. */
  readonly notes: readonly string[];
  /**
   * The warnings about the labels of both splits (shared/data/coverage.ts), one line each. Rejects with DATASET_INVALID where a training would
   * be meaningless. Generated scenes give none.
   */
  warnings(): Promise<string[]>;
  /** Fingerprint, pixels and sizes of both splits, once every file has been read. */
  figures(): Promise<DatasetFigures>;
  close(): Promise<void>;
}

/** An error for a fault of the data itself (a file, a folder, a split), with reason DATASET_INVALID. */
export function datasetFault(message: string, code: ErrorCode = "INVALID_ARGUMENT", cause?: unknown): LatheError {
  return new LatheError(code, message, { reason: "DATASET_INVALID", ...(cause === undefined ? {} : { cause }) });
}

/** A fault of one file. Where all files are checked, those of one kind are told together, as "<number> <kind>: <files>". */
export function fileFault(kind: string, file: string, message: string): LatheError {
  return new LatheError("INVALID_ARGUMENT", message, { reason: "DATASET_INVALID", metadata: { kind, file } });
}

/** The message of a thrown value, in one line. */
export function reasonOf(thrown: unknown): string {
  const text = thrown instanceof Error ? thrown.message : String(thrown);
  return text.replace(/\s+/g, " ").trim().replace(/:$/, "");
}

/** A text of a file, shortened to be quoted in a message. */
export function clip(text: string): string {
  return text.length <= MAX_QUOTE ? text : `${text.slice(0, MAX_QUOTE)}...`;
}
