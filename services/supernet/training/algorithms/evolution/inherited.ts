import { batches, type Batch } from "../../../../../shared/data/batches";
import type { Dataset } from "../../../../../shared/data/open";
import type { Engine } from "../../../../../shared/engine/engine";
import { createRandom } from "../../../../../shared/engine/random";
import type { SupernetState } from "../../../../../shared/network/checkpoint";
import { buildDiscrete, type DiscreteNetwork } from "../../../../../shared/network/discrete";
import type { NetworkParameters } from "../../../../../shared/network/export";
import { inheritBuffer } from "../../../../../shared/network/inherit";
import type { Genotype } from "../../../../../shared/proto/lathe/v1/space";
import { momentsStep, trainableNetwork } from "../../steps";

/** Number of training batches over which a network's statistics are averaged. */
const CALIBRATION_BATCHES = 4;

/** Number of images that the calibration of one network reads. */
export function calibrationImages(trainExamples: number, batchSize: number): number {
  return Math.min(CALIBRATION_BATCHES, Math.floor(trainExamples / batchSize)) * batchSize;
}

interface Calibration {
  seed: number;
  batchSize: number;
  labelStride: number;
}

/** Draws the training batches, not augmented, on which every network is calibrated. */
export async function calibrationBatches(
  dataset: Dataset,
  { seed, batchSize, labelStride }: Calibration,
): Promise<Batch[]> {
  const order = { batchSize, labelStride, random: createRandom(seed, "calibration"), dropLast: true };
  const drawn: Batch[] = [];
  for await (const batch of batches(dataset.train, order)) {
    drawn.push(batch);
    if (drawn.length === CALIBRATION_BATCHES) break;
  }
  return drawn;
}

/** Builds a genotype's network with weights inherited from a supernet. Its statistics are the mean moments over the calibration batches. */
export async function inherit(
  engine: Engine,
  state: SupernetState,
  genotype: Genotype,
  calibration: readonly Batch[],
  signal: AbortSignal,
): Promise<{ network: DiscreteNetwork; parameters: NetworkParameters }> {
  const network = buildDiscrete(genotype, { kind: "search" });
  const weights = inheritBuffer(state.weights.values, "weights", state.supernet, network);
  const { inputHeight, inputWidth } = genotype;
  const batchSize = calibration[0]?.size ?? 1;
  const step = await engine.compile(
    momentsStep(trainableNetwork(network)),
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
    return { network, parameters: { weights, stats } };
  } finally {
    await step.release();
  }
}
