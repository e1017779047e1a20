import type { Random } from "../engine/random";
import { elementCount } from "../engine/signature";
import type { TensorTable } from "./declaration";

/**
 * First weights of a network: convolutions and biases uniform within 1/sqrt(fan-in) (PyTorch's default), gammas 1, betas 0. Drawn
 * in the table's order, so that the same table and generator give the same weights.
 */
export function initialWeights({ entries, size }: TensorTable, random: Random): Float32Array {
  const weights = new Float32Array(size);
  let fanIn = 1;
  for (const { kind, shape, offset } of entries) {
    const values = weights.subarray(offset, offset + elementCount(shape));
    if (kind === "gamma") values.fill(1);
    if (kind === "gamma" || kind === "beta") continue;
    // Filters end in [Cin, kh, kw]; a bias stands behind its filter and shares its fan-in.
    if (kind === "filter") fanIn = elementCount(shape.slice(-3));
    const bound = 1 / Math.sqrt(fanIn);
    for (let at = 0; at < values.length; at++) values[at] = (2 * random.next() - 1) * bound;
  }
  return weights;
}

/** First running statistics: mean 0, variance 1. */
export function initialStats({ entries, size }: TensorTable): Float32Array {
  const stats = new Float32Array(size);
  for (const { kind, shape, offset } of entries)
    if (kind === "variance") stats.fill(1, offset, offset + elementCount(shape));
  return stats;
}
