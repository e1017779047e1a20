import type { ArchitectureChosen } from "../../shared/proto/lathe/v1/events";
import type { SearchRecord } from "./record";
import { isSettled, newestOf } from "./target";

// The choice among the networks of a search for a latency, where none is near enough to end the repairs.

/** The nearest network to the target, once the newest one is measured; of two that are equally near, the one with the larger mIoU. */
export function nearestOf({
  search: { result: known },
  nearest,
  derivedOnnx: onnx,
  derivedWeights: weights,
}: Pick<SearchRecord, "search" | "nearest" | "derivedOnnx" | "derivedWeights">): ArchitectureChosen | undefined {
  if (!known?.target) return nearest;
  const { target, genotype, figures, costRatio, discreteMiou, discreteMiouClasses: miouClasses } = known;
  const { targetSeconds: wanted, measuredSeconds } = target;
  const newest: ArchitectureChosen = {
    ...{ repair: newestOf(target), genotype, figures, onnx, weights },
    ...{ costRatio, discreteMiou, miouClasses, measuredSeconds },
  };
  if (!nearest) return newest;
  const [before, now] = [nearest, newest].map((one) => Math.abs(one.measuredSeconds - wanted) / wanted) as [
    number,
    number,
  ];
  // Two distances that differ by a rounding error are equal.
  const isEqual = Math.abs(before - now) < 1e-9;
  return (isEqual ? discreteMiou >= nearest.discreteMiou : now < before) ? newest : nearest;
}

/**
 * The earlier network that a search goes on with, because it is nearer to the target than the newest one. Undefined while repairs may follow:
 * they end at their limit, and where a repair has found none that is nearer.
 */
export function earlierNetwork({
  search: { result: known },
  nearest,
  ordinals,
}: Pick<SearchRecord, "search" | "nearest" | "ordinals">): ArchitectureChosen | undefined {
  const target = known?.target;
  if (!target || !nearest) return undefined;
  const newest = newestOf(target);
  const isMeasured = (ordinals["architecture.measured"] ?? 0) > newest;
  const isVain = (ordinals["architecture.repaired"] ?? 0) > newest;
  const isOver = isMeasured && (isVain || isSettled({ result: known }));
  return isOver && nearest.repair !== newest ? nearest : undefined;
}
