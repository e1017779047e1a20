import { LatheError } from "../process/errors";
import { type Batch, type BatchOrder, type ColorFactors, type Split, type Zoom, datasetFault } from "./dataset";

export type { Batch } from "./dataset";

/** The methods of the engine's seeded generator that batches use. */
interface BatchRandom {
  next(): number;
  /** Whole number in 0..n-1. */
  integer(n: number): number;
  shuffle<T>(array: T[]): unknown;
}

/** Random changes of the examples. Each has a value that changes nothing, for which nothing is drawn. */
export interface Augmentation {
  /** Probability of a horizontal flip. */
  readonly flip: number;
  /** Shifts by -shift..shift whole pixels in each direction. */
  readonly shift: number;
  /** Scales are uniform from scaleMin to scaleMax. */
  readonly scaleMin: number;
  readonly scaleMax: number;
  /** Factors of colours are uniform from 1 - x to 1 + x. */
  readonly brightness: number;
  readonly contrast: number;
  readonly saturation: number;
}

export interface BatchOptions {
  readonly batchSize: number;
  /** Side of a label cell in pixels. A cell has the label at its centre. */
  readonly labelStride: number;
  /** Without a generator, examples are in order and not augmented. */
  readonly random?: BatchRandom;
  readonly augmentation?: Augmentation;
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
  const { batchSize, labelStride, random, augmentation, dropLast = false } = options;
  const indices = Array.from({ length }, (_, index) => index);
  random?.shuffle(indices);
  const augment = random && augmentation && drawsOf(random, augmentation);
  const orders: BatchOrder[] = [];
  for (let at = 0; at < length; at += batchSize) {
    const chosen = indices.slice(at, at + batchSize);
    if (dropLast && chosen.length < batchSize) break;
    orders.push({
      indices: chosen,
      flips: chosen.map(() => augment?.flip() ?? false),
      shiftsX: chosen.map(() => augment?.shift() ?? 0),
      shiftsY: chosen.map(() => augment?.shift() ?? 0),
      ...(augment?.zoom && { zooms: chosen.map(augment.zoom) }),
      ...(augment?.color && { colors: chosen.map(augment.color) }),
      labelStride,
    });
  }
  return orders;
}

/** The draws of one example. A change that is off draws nothing, so that it moves no other draw. */
function drawsOf(
  random: BatchRandom,
  { flip, shift, scaleMin, scaleMax, brightness, contrast, saturation }: Augmentation,
): { flip: () => boolean; shift: () => number; zoom?: () => Zoom; color?: () => ColorFactors } {
  const about = (reach: number): number => 1 + reach * (2 * random.next() - 1);
  return {
    flip: () => flip > 0 && random.next() < flip,
    shift: () => (shift === 0 ? 0 : random.integer(2 * shift + 1) - shift),
    ...((scaleMin !== 1 || scaleMax !== 1) && {
      zoom: () => ({ scale: scaleMin + (scaleMax - scaleMin) * random.next(), x: random.next(), y: random.next() }),
    }),
    ...(Math.max(brightness, contrast, saturation) > 0 && {
      color: () => ({ brightness: about(brightness), contrast: about(contrast), saturation: about(saturation) }),
    }),
  };
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

function checkOptions(split: Split, { batchSize, labelStride, augmentation, dropLast = false }: BatchOptions): void {
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
  const { shift = 0, scaleMin = 1, scaleMax = 1 } = augmentation ?? {};
  if (!Number.isInteger(shift) || shift < 0) refuse(`shift is ${shift} pixels, must be a whole number >= 0`);
  if (!(scaleMin > 0 && scaleMin <= scaleMax && scaleMax < Infinity))
    refuse(`scales are ${scaleMin} to ${scaleMax}, must be above 0 and in order`);
}
