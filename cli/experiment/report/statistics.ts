/** Mean and spread of a sample. */
export interface Spread {
  n: number;
  mean: number;
  /** Sample standard deviation (n - 1); undefined of one value. */
  deviation: number | undefined;
  min: number;
  max: number;
}

/** Mean and spread of the values that are there; undefined where there are none. */
export function spreadOf(values: readonly (number | undefined)[]): Spread | undefined {
  const there = values.filter((value) => value !== undefined);
  const n = there.length;
  if (n === 0) return undefined;
  const mean = there.reduce((sum, value) => sum + value, 0) / n;
  // Two passes: the difference of sums of squares loses its digits where the spread is small.
  const squares = there.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  const deviation = n > 1 ? Math.sqrt(squares / (n - 1)) : undefined;
  return { n, mean, deviation, min: Math.min(...there), max: Math.max(...there) };
}
