import type { ArchitectureDerived } from "../../shared/proto/lathe/v1/events";
import type { CostSpec } from "../../shared/proto/lathe/v1/spec";

/** Share of the target that a derived network may miss it by and still meet it. */
const TOLERANCE = 0.1;

/** Why a derived network misses the cost target, in a sentence; "" where it meets it or none was set. */
export function costMiss(
  cost: CostSpec | undefined,
  { costRatio, smallestCostRatio }: Pick<ArchitectureDerived, "costRatio" | "smallestCostRatio">,
): string {
  const { target, weight } = { target: cost?.target ?? 0, weight: cost?.weight ?? 0 };
  if (target === 0 || weight === 0 || Math.abs(costRatio - target) <= TOLERANCE * target + 1e-9) return "";
  const percent = (ratio: number) => `${(100 * ratio).toFixed(1)} %`;
  const missed = `the network costs ${percent(costRatio)} of the largest, the target is ${percent(target)}`;
  return smallestCostRatio > target
    ? `${missed}: the smallest network of the space costs ${percent(smallestCostRatio)}; give space smaller widths or depths`
    : `${missed}, which the space can reach (from ${percent(smallestCostRatio)} on): raise cost.weight or set cost.adapt`;
}
