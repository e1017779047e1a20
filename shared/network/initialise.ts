import { view, type Manifest } from "../engine/parameters";
import type { Random } from "../engine/random";
import { elementCount } from "../engine/signature";

/**
 * First weights of a network: convolutions and biases uniform within 1/sqrt(fan-in) (PyTorch's default), gammas 1, betas 0. Drawn
 * in the manifest's order, so that the same manifest and generator give the same weights.
 */
export function initialWeights(manifest: Manifest, random: Random): Float32Array {
  const weights = new Float32Array(manifest.size);
  let fanIn = 1;
  for (const { name, shape } of manifest.entries) {
    const values = view(weights, manifest, name);
    if (name.endsWith("/gamma")) values.fill(1);
    if (name.endsWith("/gamma") || name.endsWith("/beta")) continue;
    // Kernels end in [Cin, kh, kw]; a bias stands behind its kernel and shares its fan-in.
    if (shape.length >= 4) fanIn = elementCount(shape.slice(-3));
    const bound = 1 / Math.sqrt(fanIn);
    for (let at = 0; at < values.length; at++) values[at] = (2 * random.next() - 1) * bound;
  }
  return weights;
}

/** First running statistics: mean 0, variance 1. */
export function initialStats(manifest: Manifest): Float32Array {
  const stats = new Float32Array(manifest.size);
  for (const { name } of manifest.entries) if (name.endsWith("/variance")) view(stats, manifest, name).fill(1);
  return stats;
}
