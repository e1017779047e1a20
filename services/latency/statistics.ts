import { LatheError } from "../../shared/process/errors";

/** The p-th percentile by nearest rank: the smallest that at least p % of the samples do not exceed. `sorted` ascends; 0 < p <= 100. */
export function percentile(sorted: ArrayLike<number>, p: number): number {
  if (!(p > 0 && p <= 100) || sorted.length === 0)
    throw new LatheError("INTERNAL", `percentile ${p} of ${sorted.length} samples: must be in (0, 100] of at least 1`);
  // Multiplied first: 7 / 100 * 100 rounds to a number above 7, and its ceiling would be the next sample.
  const rank = Math.ceil((p * sorted.length) / 100);
  return sorted[rank - 1] ?? Number.NaN;
}

/** Samples in ascending order. */
export const ascending = (samples: ArrayLike<number>): Float64Array => Float64Array.from(samples).sort();

/** The median by nearest rank, in the unit of the samples. */
export const medianOf = (samples: ArrayLike<number>): number => percentile(ascending(samples), 50);

/** Chance that the interval does not contain the median. */
const MISSED = 0.05;

/**
 * Ranks (from 1) of the two order statistics that enclose the median of n independent samples with a confidence of at least 95 %,
 * whatever their distribution: the largest k with P(Bin(n, 1/2) < k) <= 0.025, and n + 1 - k. Undefined for fewer than 6 samples.
 */
export function medianRanks(n: number): readonly [low: number, high: number] | undefined {
  // In logarithms: 2^-n is 0 in double precision for n above 1074.
  let logOfTerm = -n * Math.LN2;
  let below = 0;
  let k = 0;
  for (; k <= n / 2; k++) {
    below += Math.exp(logOfTerm);
    if (below > MISSED / 2) break;
    logOfTerm += Math.log((n - k) / (k + 1));
  }
  return k === 0 ? undefined : [k, n + 1 - k];
}

/** The interval of 95 % confidence of the median (medianRanks). `sorted` ascends. Undefined for fewer than 6 samples. */
export function medianInterval(sorted: ArrayLike<number>): { low: number; high: number } | undefined {
  const ranks = medianRanks(sorted.length);
  return ranks && { low: sorted[ranks[0] - 1] ?? Number.NaN, high: sorted[ranks[1] - 1] ?? Number.NaN };
}

/** Half of the width of the median's interval, as a share of the median: how well it is known. Infinite for fewer than 6 samples. `sorted` ascends. */
export function spreadOf(sorted: ArrayLike<number>): number {
  const interval = medianInterval(sorted);
  return interval ? (interval.high - interval.low) / 2 / percentile(sorted, 50) : Infinity;
}

/** Pairs of samples are n^2: of more samples than this, means of neighbours are compared. */
const MOST_COMPARED = 200;
/** Two-sided 5 % of the normal distribution. */
const SIGNIFICANT_Z = 1.96;

interface Drift {
  /** Change from the first to the last sample on the line of the Theil-Sen slope, as a share of the median; negative where runs get faster. */
  ratio: number;
  /** Whether the Mann-Kendall test tells the trend from none at 5 %. */
  isTrend: boolean;
}

/** The drift of samples in their order of time. No trend can be told from fewer than 4. */
export function driftOf(samples: ArrayLike<number>): Drift {
  const x = thinned(samples);
  const n = x.length;
  const slopes: number[] = [];
  let s = 0;
  for (let i = 0; i < n; i++)
    for (let j = i + 1; j < n; j++) {
      const rise = (x[j] ?? Number.NaN) - (x[i] ?? Number.NaN);
      slopes.push(rise / (j - i));
      s += Math.sign(rise);
    }
  if (slopes.length === 0) return { ratio: 0, isTrend: false };
  const deviation = Math.sqrt((n * (n - 1) * (2 * n + 5)) / 18);
  const z = s === 0 ? 0 : (s - Math.sign(s)) / deviation;
  return { ratio: (medianOf(slopes) * (n - 1)) / medianOf(x), isTrend: n >= 4 && Math.abs(z) > SIGNIFICANT_Z };
}

function thinned(samples: ArrayLike<number>): Float64Array {
  const of = Math.ceil(samples.length / MOST_COMPARED);
  const all = Float64Array.from(samples);
  if (of <= 1) return all;
  return Float64Array.from({ length: Math.floor(all.length / of) }, (_, i) => {
    const group = all.subarray(i * of, (i + 1) * of);
    return group.reduce((sum, value) => sum + value, 0) / of;
  });
}

/** Number of samples above the upper outer fence of Tukey: the third quartile and three times the distance of the quartiles. */
export function outliersOf(sorted: ArrayLike<number>): number {
  const [first, third] = [percentile(sorted, 25), percentile(sorted, 75)];
  const fence = third + 3 * (third - first);
  return Array.from(sorted).filter((value) => value > fence).length;
}
