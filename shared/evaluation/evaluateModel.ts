import { resizeIndices } from "../data/images";
import type { Split } from "../data/open";
import { count, createConfusion, scores, type Scores } from "./confusion";
import type { Predictor } from "./predictor";

/** Scores of a model over a split, by the same counts as those of a training. */
export interface ModelScores extends Scores {
  images: number;
  /** Size of the last class map before it was enlarged or shrunk to the size of the labels. */
  predicted: { height: number; width: number };
  /** Pixels by label (rows) and prediction (columns). */
  confusion: number[][];
}

/**
 * Compares a model with the labels of a split, at the split's size: images are given at that size, and class maps of another size are
 * resized by nearest neighbour.
 */
export async function evaluateModel(
  predictor: Predictor,
  split: Split,
  classes: number,
  { signal, progress }: { signal?: AbortSignal; progress?: (done: number, of: number) => void } = {},
): Promise<ModelScores> {
  const { height, width, length } = split;
  const confusion = createConfusion(classes);
  let predicted = { height: 0, width: 0 };
  for (let index = 0; index < length; index++) {
    signal?.throwIfAborted();
    const { image, label } = await split.example(index);
    const map = await predictor.predict(image, { height, width }, classes);
    predicted = { height: map.height, width: map.width };
    count(confusion, label, resizeIndices(map, { height, width }));
    progress?.(index + 1, length);
  }
  const rows = Array.from({ length: classes }, (_, label) => [
    ...confusion.counts.subarray(label * classes, (label + 1) * classes),
  ]);
  return { ...scores(confusion), images: length, predicted, confusion: rows };
}
