import { classFrequencies } from "../../../shared/data/batches";
import type { Dataset } from "../../../shared/data/open";
import { classWeights } from "./schedule";

/**
 * Class weights of a data set whose files are still being decoded, [classes]: zeros until the labels of its training split are `counted`.
 * They are an input of the steps, so that these are compiled meanwhile.
 */
export function awaitedClassWeights(
  dataset: Dataset,
  classes: number,
): { weighting: Float32Array; counted: Promise<void> } {
  const weighting = new Float32Array(classes);
  const counted = classFrequencies(dataset.train, classes).then((frequencies) =>
    weighting.set(classWeights(frequencies)),
  );
  // A fault reaches whoever awaits the weights. Without this handler it would also end a process that fails earlier.
  counted.catch(() => {});
  return { weighting, counted };
}
