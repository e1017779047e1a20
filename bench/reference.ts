import type { SearchSpace } from "../shared/proto/lathe/v1/space";
import { searchStride } from "../shared/space/genotype";
import type { AlphaWeights, StepOptions } from "../services/supernet/training/supernetTrainer";

/** What the PyTorch side is told of a supernet and its steps: the same constants as ours. */
export function pytorchSettings(
  space: SearchSpace,
  { batchSize, weightDecay, classWeights, alpha }: StepOptions,
  { rates, ssrFactor, costWeight }: AlphaWeights & { rates: { weights: number; alphas: number } },
): object {
  return {
    space,
    batchSize,
    labelStride: searchStride(space),
    settings: {
      weightRate: rates.weights,
      weightDecay,
      alphaRate: rates.alphas,
      alphaDecay: alpha.weightDecay,
      ssr: alpha.ssr,
      ssrFactor,
      costWeight,
      table: alpha.table,
      largestCost: alpha.largestCost,
      target: alpha.target,
      classWeights: [...classWeights],
    },
  };
}
