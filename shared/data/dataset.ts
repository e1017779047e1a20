import { LatheError, type ErrorCode } from "../process/errors";

/** Label of a pixel that counts neither in a loss nor in a metric. */
export const IGNORE = 255;

export interface DatasetInfo {
  readonly kind: string;
  readonly classes: readonly string[];
  readonly colors: readonly (readonly [number, number, number])[];
}

/** One decoded example at the dataset's size: image [H,W,3] RGB, label [H,W] with class indices or IGNORE. */
export interface Example {
  readonly image: Uint8Array;
  readonly label: Uint8Array;
}

/** What to make of some examples: element i of each list belongs to example indices[i]; flips come before shifts. */
export interface BatchOrder {
  readonly indices: readonly number[];
  readonly flips: readonly boolean[];
  readonly shiftsX: readonly number[];
  readonly shiftsY: readonly number[];
  readonly labelStride: number;
}

/** images [N,3,H,W] = pixel / 255; labels [N, H / labelStride, W / labelStride], IGNORE where nothing is known. */
export interface Batch {
  readonly images: Float32Array;
  readonly labels: Int32Array;
  readonly size: number;
  readonly indices: number[];
}

/** One split. Everything but name() is worked out on the dataset's own thread. */
export interface Split {
  readonly length: number;
  readonly height: number;
  readonly width: number;
  name(index: number): string;
  example(index: number): Promise<Example>;
  /** A batch; it may be written into the memory of a spare one, which must not be used any more. */
  assemble(order: BatchOrder, spare?: Batch): Promise<Batch>;
  /** Labelled pixels per class over the whole split, at full resolution. */
  countPixels(classes: number): Promise<number[]>;
}

export interface Dataset {
  readonly info: DatasetInfo;
  readonly height: number;
  readonly width: number;
  readonly train: Split;
  readonly validation: Split;
  close(): Promise<void>;
}

/** A fault of the data itself (a file, a folder, a split): reason DATASET_INVALID, so a caller can tell it from a fault of the program. */
export function datasetFault(message: string, code: ErrorCode = "INVALID_ARGUMENT", cause?: unknown): LatheError {
  return new LatheError(code, message, { reason: "DATASET_INVALID", ...(cause === undefined ? {} : { cause }) });
}

/** The text of an unknown thrown value in one line. */
export function reasonOf(thrown: unknown): string {
  const text = thrown instanceof Error ? thrown.message : String(thrown);
  return text.replace(/\s+/g, " ").trim();
}
