import { classFrequencies } from "../../../shared/data/batches";
import type { Dataset } from "../../../shared/data/open";

/** ENet's class weights 1 / ln(1.10 + frequency). A frequency is the class's share of the training set's labelled pixels. */
function classWeights(frequencies: readonly number[]): Float32Array {
  return Float32Array.from(frequencies, (frequency) => 1 / Math.log(1.1 + frequency));
}

/** Counts the labels of a data set's training split and returns the class weights, [classes]. */
export async function countedClassWeights(dataset: Dataset, classes: number): Promise<Float32Array> {
  return classWeights(await classFrequencies(dataset.train, classes));
}

/** Class weights, [classes], of a data set still being decoded: zeros until `counted` resolves, so that steps compile meanwhile. */
export function awaitedClassWeights(
  dataset: Dataset,
  classes: number,
): { weighting: Float32Array; counted: Promise<void> } {
  const weighting = new Float32Array(classes);
  const counted = countedClassWeights(dataset, classes).then((weights) => weighting.set(weights));
  // An error reaches the caller that awaits `counted`. Without this handler it would end the process if the caller failed before.
  counted.catch(() => {});
  return { weighting, counted };
}
