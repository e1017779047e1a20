import type { NetworkParameters } from "../../../shared/network/export";

export function copied({ weights, stats }: NetworkParameters): NetworkParameters {
  return { weights: weights.slice(), stats: stats.slice() };
}

/**
 * Moves an average in place, after a step counted from 1: average <- d * average + (1 - d) * values, d = min(decay, (1 + step) / (10 + step)).
 * The smaller d of the first steps forgets the random weights of the beginning.
 */
export function moveAverage(average: NetworkParameters, values: NetworkParameters, decay: number, step: number): void {
  const share = 1 - Math.min(decay, (1 + step) / (10 + step));
  for (const role of ["weights", "stats"] as const) {
    const [into, from] = [average[role], values[role]];
    for (let i = 0; i < into.length; i++) into[i]! += share * (from[i]! - into[i]!);
  }
}
