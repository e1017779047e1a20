import type { Metrics } from "../../shared/process/metrics";
import type { Removal } from "../../shared/proto/lathe/v1/result";
import { Dimension } from "../../shared/proto/lathe/v1/space";
import { enumWord, valuesOf } from "../../shared/spec/bounds";

const name = (dimension: Dimension) => enumWord(Dimension, "DIMENSION_", dimension);

export interface ShrinkingMetrics {
  /** Counts what a decision has removed; only for decisions that were new. */
  removed(removals: readonly Removal[]): void;
}

/** The metrics of shrinking (docs/operate.md#metrics). */
export function shrinkingMetrics(metrics: Metrics): ShrinkingMetrics {
  const total = metrics.counter("nas_shrink_removed_total", "Candidates that have left a search space.", ["dimension"]);
  for (const dimension of valuesOf(Dimension)) total.inc({ dimension: name(dimension) }, 0);
  return {
    removed(removals) {
      for (const { dimension } of removals) total.inc({ dimension: name(dimension) });
    },
  };
}
