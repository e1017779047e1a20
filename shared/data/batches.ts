import { LatheError } from "../process/errors";
import { type Batch, type BatchOrder, type Split, datasetFault } from "./dataset";

export type { Batch } from "./dataset";

/** The methods of the engine's seeded generator that batches use. */
interface BatchRandom {
  next(): number;
  /** Whole number in 0..n-1. */
  integer(n: number): number;
  shuffle<T>(array: T[]): unknown;
}

export interface BatchOptions {
  readonly batchSize: number;
  /** Side of a label cell in pixels. A cell has the label at its centre. */
  readonly labelStride: number;
  /** Without a generator, examples are in order and not augmented. */
  readonly random?: BatchRandom;
  /** Horizontal flips with probability 1/2; shifts by -translate..translate whole pixels in each direction. */
  readonly augment?: { readonly flip: boolean; readonly translate: number };
  /** Leaves out the last batch if it is not full. */
  readonly dropLast?: boolean;
  /**
   * A batch is valid only until the next one is requested; then a later batch reuses its memory. Without reuse, an epoch allocates
   * megabytes per batch, and the whole heap is collected every few dozen batches. By default batches can be kept.
   */
  readonly reuse?: boolean;
}

const BATCHES_AHEAD = 2;

/**
 * The batches of one epoch. All random draws happen before this function returns. The next two batches are assembled on the data set's
 * thread while the consumer works. INVALID_ARGUMENT if an option does not fit the split.
 */
export function batches(split: Split, options: BatchOptions): AsyncIterable<Batch> {
  checkOptions(split, options);
  const orders = drawOrders(split.length, options);
  return { [Symbol.asyncIterator]: () => assembleAhead(split, orders, options.reuse === true) };
}

/** Share of each class among the labelled pixels of a split at full resolution; sums to 1. */
export async function classFrequencies(split: Split, classes: number): Promise<number[]> {
  const counts = await split.countPixels(classes);
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total === 0) throw datasetFault(`the split of ${split.length} examples has no labelled pixel`);
  return counts.map((count) => count / total);
}

function drawOrders(length: number, options: BatchOptions): BatchOrder[] {
  const { batchSize, labelStride, random, augment, dropLast = false } = options;
  const indices = Array.from({ length }, (_, index) => index);
  random?.shuffle(indices);
  const flip = (): boolean => random !== undefined && augment?.flip === true && random.next() < 0.5;
  const reach = augment?.translate ?? 0;
  const shift = (): number => (random === undefined || reach === 0 ? 0 : random.integer(2 * reach + 1) - reach);
  const orders: BatchOrder[] = [];
  for (let at = 0; at < length; at += batchSize) {
    const chosen = indices.slice(at, at + batchSize);
    if (dropLast && chosen.length < batchSize) break;
    orders.push({
      indices: chosen,
      flips: chosen.map(flip),
      shiftsX: chosen.map(shift),
      shiftsY: chosen.map(shift),
      labelStride,
    });
  }
  return orders;
}

async function* assembleAhead(
  split: Split,
  orders: readonly BatchOrder[],
  reuse: boolean,
): AsyncGenerator<Batch, void, undefined> {
  const coming: Promise<Batch>[] = [];
  let started = 0;
  let spare: Batch | undefined;
  for (let at = 0; at < orders.length; at++) {
    for (; started < orders.length && started <= at + BATCHES_AHEAD; started++) {
      const batch = split.assemble(orders[started]!, spare);
      spare = undefined;
      batch.catch(() => undefined); // the error is reported where the batch is awaited; if the consumer stopped early, nobody awaits it
      coming.push(batch);
    }
    const batch = await coming.shift()!;
    yield batch;
    if (reuse) spare = batch;
  }
}

function checkOptions(split: Split, { batchSize, labelStride, augment, dropLast = false }: BatchOptions): void {
  const refuse = (message: string): never => {
    throw new LatheError("INVALID_ARGUMENT", message);
  };
  if (!Number.isInteger(batchSize) || batchSize < 1) refuse(`batch size is ${batchSize}, must be a whole number >= 1`);
  if (dropLast && batchSize > split.length) {
    refuse(
      `batch size ${batchSize} exceeds the ${split.length} examples of the split, and partial batches are dropped`,
    );
  }
  if (!Number.isInteger(labelStride) || labelStride < 1 || split.height % labelStride || split.width % labelStride) {
    refuse(`label stride ${labelStride} must be a whole number that divides ${split.height}x${split.width}`);
  }
  const reach = augment?.translate ?? 0;
  if (!Number.isInteger(reach) || reach < 0) refuse(`translation is ${reach} pixels, must be a whole number >= 0`);
}
