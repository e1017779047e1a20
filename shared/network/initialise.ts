import type { Random } from "../engine/random";
import { elementCount } from "../engine/signature";
import type { TensorTable } from "./declaration";

/**
 * Draws the initial weights of a network: filters and biases uniform within +-1/sqrt(fan-in) (PyTorch's default), gammas 1, betas 0. They
 * are drawn in the table's order, so the same table and generator give the same weights.
 */
export function initialWeights({ entries, size }: TensorTable, random: Random): Float32Array {
  const weights = new Float32Array(size);
  let fanIn = 1;
  for (const { kind, shape, offset } of entries) {
    const values = weights.subarray(offset, offset + elementCount(shape));
    if (kind === "gamma") values.fill(1);
    if (kind === "gamma" || kind === "beta") continue;
    // A filter is [Cout, Cin, kh, kw], a depthwise one [C, 1, kh, kw]. A bias follows its filter in the table and has the same fan-in.
    if (kind === "filter") fanIn = elementCount(shape.slice(-3));
    const bound = 1 / Math.sqrt(fanIn);
    for (let at = 0; at < values.length; at++) values[at] = (2 * random.next() - 1) * bound;
  }
  return weights;
}

/** Initial running statistics: mean 0, variance 1. */
export function initialStats({ entries, size }: TensorTable): Float32Array {
  const stats = new Float32Array(size);
  for (const { kind, shape, offset } of entries)
    if (kind === "variance") stats.fill(1, offset, offset + elementCount(shape));
  return stats;
}
