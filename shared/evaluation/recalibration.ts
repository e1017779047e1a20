import { batches, type Batch } from "../data/batches";
import type { Split } from "../data/open";
import type { Engine, Step } from "../engine/engine";
import { pack, unpack } from "../engine/parameters";
import { createRandom } from "../engine/random";
import { tf } from "../engine/tf";
import type { DiscreteNetwork } from "../network/discrete";
import { named, trainingNorm, type Tensors } from "../network/layers";

/** Number of training batches over which a network's statistics are averaged. */
const MOST_BATCHES = 4;

/** Number of images that the recalibration of one network reads. */
export function recalibrationImages(trainExamples: number, batchSize: number): number {
  return Math.min(MOST_BATCHES, Math.floor(trainExamples / batchSize)) * batchSize;
}

/** Draws the training batches, not augmented, on which every network of a search is recalibrated. */
export async function recalibrationBatches(
  train: Split,
  { seed, batchSize, labelStride }: { seed: number; batchSize: number; labelStride: number },
): Promise<Batch[]> {
  const order = { batchSize, labelStride, random: createRandom(seed, "calibration"), dropLast: true };
  const drawn: Batch[] = [];
  for await (const batch of batches(train, order)) {
    drawn.push(batch);
    if (drawn.length === MOST_BATCHES) break;
  }
  return drawn;
}

/**
 * The batch-norm statistics of a network with weights that were trained in another one: the mean over the batches of the moments of each
 * batch. The weights do not change.
 */
export async function recalibratedStats(
  engine: Engine,
  network: DiscreteNetwork,
  weights: Float32Array,
  calibration: readonly Batch[],
  signal: AbortSignal,
): Promise<Float32Array> {
  const { inputHeight, inputWidth } = network.genotype;
  const batchSize = calibration[0]?.size ?? 1;
  const step = await engine.compile(
    momentsStep(network),
    {
      weights: { shape: [weights.length], dtype: "float32" },
      images: { shape: [batchSize, 3, inputHeight, inputWidth], dtype: "float32" },
    },
    "moments",
  );
  try {
    const stats = new Float32Array(network.stats.size);
    for (const batch of calibration) {
      signal.throwIfAborted();
      const moments = (await step.run({ weights, images: batch.images })).stats ?? [];
      moments.forEach((moment, at) => (stats[at]! += moment / calibration.length));
    }
    return stats;
  } finally {
    await step.release();
  }
}

/** Computes the moments of every batch norm over a batch. Output: stats [statistics]. */
function momentsStep(network: DiscreteNetwork): Step {
  return (inputs) => {
    const moments: Tensors = {};
    const norm = trainingNorm((name, moment) => (moments[name] = tf.keep(moment)));
    const weights = unpack(named(inputs, "weights") as tf.Tensor1D, network.weights);
    network.logits(weights, named(inputs, "images"), norm, inputs);
    return { stats: pack(moments, network.stats) };
  };
}
