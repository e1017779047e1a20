import type { Evaluation } from "../../../../../shared/evaluation/evaluate";
import type { HealthHistory } from "../../../../../shared/network/checkpoint";
import type { DimensionMetrics, EpochHealth } from "../../../../../shared/proto/lathe/v1/result";
import {
  Dimension,
  type Architecture,
  type CostTable,
  type SearchSpace,
} from "../../../../../shared/proto/lathe/v1/space";
import { smallestCostRatio } from "../../../../../shared/space/cost";
import {
  dominance,
  indexGroups,
  isConverged,
  openness,
  operations,
  probabilities,
  spaceGroups,
} from "../../../../../shared/space/groups";
import type { EpochNorms } from "./guard";
import { kindsOf, type Measures } from "./health";

/** Results of an epoch from which the health measures are computed. */
interface EpochOutcome {
  epoch: number;
  epochs: number;
  space: SearchSpace;
  architecture: Architecture;
  table: CostTable;
  dimensions: readonly DimensionMetrics[];
  validation: Evaluation;
  /** Names of the classes. */
  classes: readonly string[];
  norms: EpochNorms;
  /** Expected cost and its target, as shares of the largest network's cost. */
  costRatio: number;
  costTarget: number;
}

/** Health measures of an epoch's architecture, gradients and predictions. */
export function measure(outcome: EpochOutcome): Measures {
  const { epoch, epochs, space, architecture, table, dimensions, validation, norms } = outcome;
  const { commonest } = validation;
  const choices = operations(space);
  const blocks = architecture.groups.filter(({ dimension }) => dimension === Dimension.DIMENSION_OPERATION);
  const operation = dominance(blocks, choices.length);
  const scale = dominance(blocks, space.scales.length, (candidate) =>
    space.scales.indexOf(choices[candidate]?.scale ?? 0),
  );
  return {
    epoch,
    epochs,
    miou: validation.miou,
    commonest: { ...commonest, name: outcome.classes[commonest.class] ?? String(commonest.class) },
    norms: { weights: norms.weights, alphas: norms.relativeAlphas },
    operation: { name: choices[operation.choice]?.name ?? "", share: operation.share },
    scale: { name: String(space.scales[scale.choice] ?? ""), share: scale.share },
    dimensions: dimensions.map(({ dimension }) => ({ dimension, open: openness(space, architecture, dimension) })),
    cost: { ratio: outcome.costRatio, smallest: smallestCostRatio(space, table), target: outcome.costTarget },
    smallestWidths: smallestWidths(space, architecture),
    decided: isConverged(architecture),
  };
}

/** Measures and history in the form of an epoch's event. */
export function epochHealth(measures: Measures, norms: EpochNorms, history: HealthHistory): EpochHealth {
  const { ratio, smallest, target } = measures.cost;
  return {
    classShare: measures.commonest.predicted,
    bestMiou: history.bestMiou,
    bestEpoch: history.bestEpoch,
    weightGradientNorm: norms.weights,
    alphaGradientNorm: norms.alphas,
    relativeAlphaGradientNorm: norms.relativeAlphas,
    scaleDominance: measures.scale.share,
    capacity: target > smallest ? (ratio - smallest) / (target - smallest) : 0,
    smallestWidthShare: measures.smallestWidths,
    staleEpochs: history.staleEpochs,
    standing: kindsOf(history.standing),
  };
}

/** Mean probability of the smallest width over the live width groups that began with more than one candidate. */
function smallestWidths(space: SearchSpace, { groups }: Architecture): number {
  const declared = indexGroups({ groups: spaceGroups(space) });
  const widths = groups.filter(
    ({ id, dimension }) =>
      (dimension === Dimension.DIMENSION_OUTPUT_WIDTH || dimension === Dimension.DIMENSION_MIDDLE_WIDTH) &&
      (declared.get(id)?.candidates.length ?? 0) > 1,
  );
  const shares = widths.map(({ alphas, survivors }) => {
    const at = survivors.indexOf(0);
    return at < 0 ? 0 : (probabilities(alphas)[at] ?? 0);
  });
  return shares.length > 0 ? shares.reduce((sum, share) => sum + share, 0) / shares.length : 0;
}
