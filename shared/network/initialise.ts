import type { Manifest } from "../engine/parameters";
import type { Random } from "../engine/random";

/**
 * First weights of a network: convolutions and biases uniform within 1/sqrt(fan-in) (PyTorch's default), gammas 1, betas 0. Drawn
 * in the manifest's order, so that the same manifest and generator give the same weights.
 */
export function initialWeights(manifest: Manifest, random: Random): Float32Array {
  const weights = new Float32Array(manifest.size);
  let fanIn = 1;
  for (const { name, shape, offset } of manifest.entries) {
    const size = shape.reduce((product, extent) => product * extent, 1);
    if (name.endsWith("/gamma")) weights.fill(1, offset, offset + size);
    if (name.endsWith("/gamma") || name.endsWith("/beta")) continue;
    // Kernels end in [Cin, kh, kw]; a bias stands behind its kernel and shares its fan-in.
    if (shape.length >= 4) fanIn = shape.slice(-3).reduce((product, extent) => product * extent, 1);
    const bound = 1 / Math.sqrt(fanIn);
    for (let at = offset; at < offset + size; at++) weights[at] = (2 * random.next() - 1) * bound;
  }
  return weights;
}

/** First running statistics: mean 0, variance 1. */
export function initialStats(manifest: Manifest): Float32Array {
  const stats = new Float32Array(manifest.size);
  for (const { name, shape, offset } of manifest.entries)
    if (name.endsWith("/variance"))
      stats.fill(1, offset, offset + shape.reduce((product, extent) => product * extent, 1));
  return stats;
}
