import type { Dataset, Split } from "../../../shared/data/open";
import type { Engine } from "../../../shared/engine/engine";
import { createRandom } from "../../../shared/engine/random";
import { discreteEvaluator, type Evaluation } from "../../../shared/evaluation/evaluate";
import { recalibratedStats, recalibrationBatches } from "../../../shared/evaluation/recalibration";
import { buildDiscrete, type DiscreteNetwork } from "../../../shared/network/discrete";
import type { NetworkParameters } from "../../../shared/network/export";
import { transfer } from "../../../shared/network/transfer";
import type { Genotype } from "../../../shared/proto/lathe/v1/space";

/** A network, and the parameters that it is evaluated with. */
interface Trained {
  network: DiscreteNetwork;
  parameters: NetworkParameters;
}

/** Makes and evaluates networks that differ from a trained one. */
interface Trial {
  /**
   * A network with the weights of the trained one (transfer), and statistics of its own: those of the trained one are of its widths and
   * operations, and the more is changed, the less they fit. The same genotype gives the same bytes each time.
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
  { train }: Pick<Dataset, "train">,
  { seed, number, batchSize }: TrialOptions,
  signal: AbortSignal,
): Promise<Trial> {
  const calibration = await recalibrationBatches(train, { seed, batchSize, labelStride: given.stride });
  // Class weights affect the loss only, and the loss is not used.
  const even = new Float32Array(given.genotype.classes).fill(1);
  return {
    made: async (genotype) => {
      const network = buildDiscrete(genotype, { kind: "search" });
      const weights = transfer(given, trained, network, createRandom(seed, `repair/${number}`));
      const stats = await recalibratedStats(engine, network, weights, calibration, signal);
      return { network, parameters: { weights, stats } };
    },
    evaluate: async ({ network, parameters: { weights, stats } }, split) => {
      const evaluator = await discreteEvaluator(engine, network, batchSize);
      try {
        return await evaluator.evaluate({ weights, stats }, split, even, signal);
      } finally {
        await evaluator.release();
      }
    },
  };
}
