import { resolve as resolvePath } from "node:path";
import { datasetOptions, openDataset, withFewTraining, type Dataset, type Split } from "../../shared/data/open";
import type { ModelOnData } from "../../shared/evaluation/evaluateOn";
import { openPredictor } from "../../shared/evaluation/predictor";
import type { SessionOptions } from "../../shared/engine/session";
import type { DiscreteNetwork } from "../../shared/network/discrete";
import { SearchSpec } from "../../shared/proto/lathe/v1/spec";
import { requested } from "../spec/specFlags";
import { userFolder } from "../userFolder";
import type { TrainedNetwork } from "./folder";

/** The data on which a network is calibrated and measured. */
export type Data = Pick<ModelOnData, "dataset" | "seed" | "classes">;

/** The data set of a network's search; `folder` is where it lies now, by default where it lay then. */
export function dataOf({ spec, network }: Pick<TrainedNetwork, "spec" | "network">, folder?: string): Data {
  const moved = SearchSpec.fromJSON(SearchSpec.toJSON(spec));
  if (folder !== undefined && moved.dataset) moved.dataset.path = resolvePath(userFolder(), folder);
  const { resolved } = requested(moved);
  return { dataset: resolved.dataset, seed: resolved.seed, classes: network.genotype.classes };
}

/** Opens the data at a network's size, with at most this number of training images, at even distances in the list of all. */
export async function openData(
  { dataset, seed }: Data,
  network: DiscreteNetwork,
  trainExamples: number,
): Promise<Dataset> {
  return openDataset(await withFewTraining(datasetOptions({ dataset, seed }, network.genotype), trainExamples));
}

/** Images [1,3,H,W] of a split, pixel / 255, one by one. */
export async function* imagesOf(split: Split, signal: AbortSignal): AsyncIterable<Float32Array> {
  for (let at = 0; at < split.length; at++) {
    signal.throwIfAborted();
    const order = { indices: [at], flips: [false], shiftsX: [0], shiftsY: [0], labelStride: 1 };
    yield (await split.assemble(order)).images;
  }
}

/** The share of the pixels of a split, labelled or not, to which two models give the same class. */
export async function sameClasses(
  models: readonly [Uint8Array, Uint8Array],
  split: Split,
  session: SessionOptions,
  signal: AbortSignal,
): Promise<number> {
  const { height, width, length } = split;
  const [one, other] = await Promise.all(models.map((model) => openPredictor(model, {}, session)));
  let [same, all] = [0, 0];
  try {
    for (let at = 0; at < length; at++) {
      signal.throwIfAborted();
      const { image } = await split.example(at);
      const [a, b] = [await one!.predict(image, { height, width }), await other!.predict(image, { height, width })];
      a.data.forEach((value, pixel) => (same += value === b.data[pixel] ? 1 : 0));
      all += a.data.length;
    }
  } finally {
    await Promise.all([one?.release(), other?.release()]);
  }
  return same / all;
}
