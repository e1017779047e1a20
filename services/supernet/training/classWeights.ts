import { classFrequencies } from "../../../shared/data/batches";
import type { Dataset } from "../../../shared/data/open";

/** ENet's class weights 1 / ln(1.10 + frequency) from shares of the training set's labelled pixels. */
export function classWeights(frequencies: readonly number[]): Float32Array {
  return Float32Array.from(frequencies, (frequency) => 1 / Math.log(1.1 + frequency));
}

/** Class weights by the labels of a data set's training split, [classes]. */
export async function countedClassWeights(dataset: Dataset, classes: number): Promise<Float32Array> {
  return classWeights(await classFrequencies(dataset.train, classes));
}

/**
 * Class weights of a data set whose files are still being decoded, [classes]: zeros until the labels of its training split are `counted`.
 * They are an input of the steps, so that these are compiled meanwhile.
 */
export function awaitedClassWeights(
  dataset: Dataset,
  classes: number,
): { weighting: Float32Array; counted: Promise<void> } {
  const weighting = new Float32Array(classes);
  const counted = countedClassWeights(dataset, classes).then((weights) => weighting.set(weights));
  // A fault reaches whoever awaits the weights. Without this handler it would also end a process that fails earlier.
  counted.catch(() => {});
  return { weighting, counted };
}
