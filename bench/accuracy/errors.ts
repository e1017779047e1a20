import type { Manifest } from "../../shared/engine/parameters";
import { elementCount } from "../../shared/engine/signature";

/** Elements of a gradient in float32 or float64. */
export type Vector = Float32Array | Float64Array;

/** |got - want| / |want| of the Euclidean norms; NaN if want is 0. */
export function wholeError(got: Vector, want: Vector): number {
  let difference = 0;
  let norm = 0;
  for (let at = 0; at < want.length; at++) {
    const expected = want[at] as number;
    difference += ((got[at] as number) - expected) ** 2;
    norm += expected ** 2;
  }
  return Math.sqrt(difference / norm);
}

/** The errors of all tensors of a flat vector whose gradient is not 0. */
export function tensorErrors(got: Vector, want: Vector, { entries }: Manifest): number[] {
  return entries.flatMap(({ shape, offset }) => {
    const end = offset + elementCount(shape);
    const error = wholeError(got.subarray(offset, end), want.subarray(offset, end));
    // 0/0: the loss does not depend on a decided group.
    return Number.isNaN(error) ? [] : [error];
  });
}
