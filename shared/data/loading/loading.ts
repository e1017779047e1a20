import { Worker } from "node:worker_threads";
import { entry } from "../../process/entry";
import { LatheError, type ErrorCode, type FieldViolation } from "../../process/errors";
import type { Classes, LabelCoding } from "../coding";
import type { Counts } from "../coverage";
import type { Batch, BatchOrder, Example, Split } from "../dataset";
import type { Size } from "../images";
import type { Pair } from "../layouts/layout";
import type { DatasetFigures } from "../../proto/lathe/v1/result";
import type { CacheFolder } from "./decodedFolder";

export type SplitName = "train" | "validation";

/** Source of the thread's examples. */
export type Source =
  | {
      readonly kind: "scenes";
      readonly seed: number;
      readonly classes: readonly string[];
      /** Number of scenes. */
      readonly train: number;
      readonly validation: number;
    }
  | {
      readonly kind: "files";
      /** The data folder, to which names of files are relative. */
      readonly folder: string;
      readonly train: readonly Pair[];
      readonly validation: readonly Pair[];
      readonly coding: LabelCoding;
      /** Names of the classes. */
      readonly classes: readonly string[];
      /** Whether these are all files of both splits: the labels of some say nothing about a training. */
      readonly whole: boolean;
    };

export interface ThreadSetup {
  /** Names the data set in faults: its path or kind. */
  readonly name: string;
  readonly source: Source;
  readonly size: Size;
  readonly cacheBytes: number;
  /** The folders to which the thread is confined; undefined: it is not. */
  readonly folders: readonly string[] | undefined;
  /** The folder of decoded files; undefined: they are in memory only. */
  readonly cache: CacheFolder | undefined;
}

/** Loads the examples of a source. Each is decoded or drawn once if the cache has room for it. */
export interface Loader {
  example(split: SplitName, index: number): Promise<Example>;
  /** The label of an example. Files are loaded without the image. */
  label(split: SplitName, index: number): Promise<Classes>;
  /** The counts of a split: those that are kept of its labels, or else what `count` gives. */
  counted(split: SplitName, count: () => Promise<Counts>): Promise<Counts>;
  /** Loads every file, and rejects with the faults of broken ones. */
  check(): Promise<void>;
  /** The digest and size of a file, as the loader saw them when it first read it. Scenes have none. */
  seen(path: string): Seen;
}

export interface Seen {
  /** SHA-256 of the bytes. */
  readonly sha256: string;
  /** Size of an image; labels have none. */
  readonly size?: Size;
}

export type Request =
  | { readonly kind: "check" }
  | { readonly kind: "warnings" }
  | { readonly kind: "figures" }
  | { readonly kind: "example"; readonly split: SplitName; readonly index: number }
  | {
      readonly kind: "assemble";
      readonly split: SplitName;
      readonly order: BatchOrder;
      readonly spare?: Batch | undefined;
    }
  | { readonly kind: "count"; readonly split: SplitName; readonly length: number; readonly classes: number };

export interface Reply {
  readonly id: number;
  readonly value?: Example | Batch | DatasetFigures | number[] | string[] | undefined;
  readonly fault?: { code: ErrorCode; message: string; reason: string; violations: FieldViolation[] };
}

interface Waiting {
  readonly resolve: (value: never) => void;
  readonly reject: (error: LatheError) => void;
}

/** The owner's side of the data set's thread. The thread keeps the process alive only while a request is open. */
export class LoadingThread {
  private readonly worker: Worker;
  private readonly waiting = new Map<number, Waiting>();
  private nextId = 0;
  private ended: LatheError | undefined;

  constructor(setup: ThreadSetup) {
    const { path } = entry(__dirname, "loadingThread");
    // tsx's --import hook does not reach threads; its CommonJS hook does.
    const execArgv = path.endsWith(".ts") ? ["--require", require.resolve("tsx/cjs")] : [];
    this.worker = new Worker(path, { workerData: setup, execArgv, name: "lathe-dataset" });
    this.worker.unref();
    this.worker.on("message", (reply: Reply) => this.settle(reply));
    this.worker.on("error", (cause) => this.end(`the dataset's thread failed: ${String(cause)}`, cause));
    this.worker.on("exit", (code) => this.end(`the dataset's thread ended with code ${code}`));
  }

  /** Sends a request and returns its answer. Transferred buffers belong to the thread from then on. */
  ask<T>(request: Request, transfer: ArrayBuffer[] = []): Promise<T> {
    if (this.ended !== undefined) return Promise.reject(this.ended);
    const id = this.nextId++;
    return new Promise<T>((resolve, reject) => {
      // Posted before the request is registered: postMessage throws if a buffer was transferred already.
      this.worker.postMessage({ id, request }, transfer);
      this.waiting.set(id, { resolve, reject });
      this.worker.ref();
    });
  }

  async close(): Promise<void> {
    this.end("the dataset is closed");
    await this.worker.terminate();
  }

  private settle({ id, value, fault }: Reply): void {
    const waiting = this.waiting.get(id);
    this.waiting.delete(id);
    if (this.waiting.size === 0) this.worker.unref();
    if (fault === undefined) waiting?.resolve(value as never);
    else waiting?.reject(new LatheError(fault.code, fault.message, fault));
  }

  private end(message: string, cause?: unknown): void {
    this.ended ??= new LatheError("INTERNAL", message, { reason: "DATASET_CLOSED", cause });
    for (const { reject } of this.waiting.values()) reject(this.ended);
    this.waiting.clear();
  }
}

/** A split whose examples the thread provides. */
export function threadSplit(
  thread: LoadingThread,
  split: SplitName,
  size: Size,
  length: number,
  name: (index: number) => string,
): Split {
  const inRange = (index: number): number => {
    if (Number.isInteger(index) && index >= 0 && index < length) return index;
    throw new LatheError("INVALID_ARGUMENT", `example ${index} of ${split}: must be 0 to ${length - 1}`);
  };
  return {
    length,
    ...size,
    name: (index) => name(inRange(index)),
    example: async (index) => thread.ask<Example>({ kind: "example", split, index: inRange(index) }),
    assemble: async (order, spare) => {
      order.indices.forEach(inRange);
      const transfer = spare ? [spare.images.buffer as ArrayBuffer, spare.labels.buffer as ArrayBuffer] : [];
      return thread.ask<Batch>({ kind: "assemble", split, order, spare }, transfer);
    },
    countPixels: (classes) => thread.ask<number[]>({ kind: "count", split, length, classes }),
  };
}
