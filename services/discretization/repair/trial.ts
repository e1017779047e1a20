import type { Dataset, Split } from "../../../shared/data/open";
import type { Engine } from "../../../shared/engine/engine";
import { createRandom } from "../../../shared/engine/random";
import {
  discreteEvaluator,
  momentsEvaluator,
  type Evaluation,
  type Evaluator,
} from "../../../shared/evaluation/evaluate";
import { recalibratedStats, recalibrationBatches } from "../../../shared/evaluation/recalibration";
import { buildDiscrete, type DiscreteNetwork } from "../../../shared/network/discrete";
import type { NetworkParameters } from "../../../shared/network/export";
import { transfer } from "../../../shared/network/transfer";
import type { Genotype } from "../../../shared/proto/lathe/v1/space";

/** Validation images by which networks are compared. */
const MOST_IMAGES = 16;

/** A network, and the parameters that it is evaluated with. */
interface Trained {
  network: DiscreteNetwork;
  parameters: NetworkParameters;
}

/** Makes, compares and evaluates networks that differ from a trained one. */
interface Trial {
  /**
   * Validation mIoU of a network with the weights of the trained one, on at most 16 images. Its batch norms take the moments of those: the
   * statistics of the trained network are of its widths and operations, and the more is changed, the less they fit. Nothing else is computed
   * for a network that is only compared.
   */
  compared(genotype: Genotype): Promise<number>;
  /**
   * A network with the weights of the trained one (transfer), and statistics of its own, recalibrated on training images. The same genotype
   * gives the same bytes each time.
   */
  made(genotype: Genotype): Promise<Trained>;
  evaluate(trained: Trained, split: Split): Promise<Evaluation>;
}

interface TrialOptions {
  seed: number;
  /** Number of the repair: new channels are drawn anew in each. */
  number: number;
  batchSize: number;
}

export async function openTrial(
  engine: Engine,
  { network: given, parameters: { weights: trained } }: Trained,
  { train, validation }: Pick<Dataset, "train" | "validation">,
  { seed, number, batchSize }: TrialOptions,
  signal: AbortSignal,
): Promise<Trial> {
  const calibration = await recalibrationBatches(train, { seed, batchSize, labelStride: given.stride });
  // Class weights affect the loss only, and the loss is not used.
  const even = new Float32Array(given.genotype.classes).fill(1);
  const inherited = (genotype: Genotype) => {
    const network = buildDiscrete(genotype, given.head);
    return { network, weights: transfer(given, trained, network, createRandom(seed, `repair/${number}`)) };
  };
  const sample = sampleOf(validation, batchSize);
  return {
    compared: async (genotype) => {
      const { network, weights } = inherited(genotype);
      const evaluator = await momentsEvaluator(engine, network, sample.batchSize);
      return (await released(evaluator, (open) => open.evaluate({ weights }, sample.split, even, signal))).miou;
    },
    made: async (genotype) => {
      const { network, weights } = inherited(genotype);
      const stats = await recalibratedStats(engine, network, weights, calibration, signal);
      return { network, parameters: { weights, stats } };
    },
    evaluate: async ({ network, parameters: { weights, stats } }, split) => {
      const evaluator = await discreteEvaluator(engine, network, batchSize);
      return released(evaluator, (open) => open.evaluate({ weights, stats }, split, even, signal));
    },
  };
}

async function released<T>(evaluator: Evaluator, use: (evaluator: Evaluator) => Promise<T>): Promise<T> {
  try {
    return await use(evaluator);
  } finally {
    await evaluator.release();
  }
}

/** Whole batches of at most MOST_IMAGES examples of a split, at even distances. */
function sampleOf(split: Split, most: number): { split: Split; batchSize: number } {
  const images = Math.min(split.length, MOST_IMAGES);
  const batchSize = Math.min(most, images);
  const length = images - (images % batchSize);
  const at = (index: number): number => Math.floor((index * split.length) / length);
  const sample: Split = {
    ...{ length, height: split.height, width: split.width },
    name: (index) => split.name(at(index)),
    example: (index) => split.example(at(index)),
    assemble: (order, spare) => split.assemble({ ...order, indices: order.indices.map(at) }, spare),
    countPixels: (classes) => split.countPixels(classes),
  };
  return { split: sample, batchSize };
}
