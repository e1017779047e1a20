import { LatheError } from "../process/errors";

/** max |a - b| / max |b| of one output; 0/0 counts as 0. */
export function relativeDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length)
    throw new LatheError("INVALID_ARGUMENT", `arrays of ${a.length} and ${b.length} elements are compared`);
  let difference = 0;
  let largest = 0;
  for (let i = 0; i < b.length; i++) {
    const distance = Math.abs((a[i] as number) - (b[i] as number));
    // A comparison with NaN is false, so that it must be looked for.
    if (Number.isNaN(distance)) return Number.NaN;
    difference = Math.max(difference, distance);
    largest = Math.max(largest, Math.abs(b[i] as number));
  }
  return difference === 0 ? 0 : difference / largest;
}
