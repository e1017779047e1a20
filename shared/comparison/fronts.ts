import type { ParetoConditions, ParetoFront } from "../proto/lathe/v1/pareto";
import type { Candidate } from "./candidate";
import { dominators } from "./front";

/**
 * The candidates in groups whose figures were measured in the same way, each with its Pareto front; the largest group first. Data are the
 * same by their fingerprint where both have one. A candidate without one belongs to the fingerprint of those with the same data set in
 * their spec, if they have a single one. The time of the calibration network on the quiet device is a property of the device, which each
 * measurement knew as well as the ones before it: the lowest of a group holds for all of it.
 */
export function frontsOf(candidates: readonly Candidate[]): ParetoFront[] {
  const fingerprintOf = fingerprints(candidates);
  const groups = new Map<string, Candidate[]>();
  for (const candidate of candidates) {
    const key = JSON.stringify([fingerprintOf(candidate) ?? [candidate.data], measuredAs(candidate.conditions)]);
    const group = groups.get(key);
    if (group) group.push(candidate);
    else groups.set(key, [candidate]);
  }
  return [...groups]
    .sort(([a, one], [b, other]) => other.length - one.length || (a < b ? -1 : 1))
    .map(([, group]) => frontOf(group));
}

/** The fingerprint of a candidate's data as far as it is known: its own, or the only one of the same data set in a spec. */
function fingerprints(candidates: readonly Candidate[]): (candidate: Candidate) => string | undefined {
  const known = new Map<string, Set<string>>();
  for (const { data, conditions } of candidates)
    if (conditions.datasetSha256) known.set(data, (known.get(data) ?? new Set()).add(conditions.datasetSha256));
  return ({ data, conditions }) => {
    if (conditions.datasetSha256) return conditions.datasetSha256;
    const [only, ...others] = known.get(data) ?? [];
    return others.length === 0 ? only : undefined;
  };
}

/** All that must agree beside the data, so that two mIoUs and two latencies are comparable. */
const measuredAs = ({ datasetSha256: _, datasetKind: __, datasetPath: ___, ...rest }: ParetoConditions): unknown =>
  rest;

/** The front of candidates that were measured in the same way. */
function frontOf(group: readonly Candidate[]): ParetoFront {
  const references = group.flatMap(({ referenceSeconds }) => referenceSeconds ?? []);
  const calibrationReferenceSeconds = references.length > 0 ? Math.min(...references) : 0;
  const points = group.map(({ point, referenceSeconds }) => ({
    ...point,
    comparedSeconds: point.comparedSeconds * (referenceSeconds ? calibrationReferenceSeconds / referenceSeconds : 1),
  }));
  points.sort((a, b) => a.comparedSeconds - b.comparedSeconds || b.miou - a.miou || (a.searchId < b.searchId ? -1 : 1));
  const above = dominators(points.map((point) => ({ ...point, isUnstable: point.unstableBecause.length > 0 })));
  const { conditions } = group.find((one) => one.conditions.datasetSha256) ?? group[0]!;
  return {
    conditions,
    points: points.map((point, index) => {
      const by = above[index];
      return { ...point, dominatedBy: by === undefined ? "" : points[by]!.searchId };
    }),
    calibrationReferenceSeconds,
  };
}
