import type { GraphNode, Value } from "./graph";

/** A batch norm maps each channel by y = scale * x + shift. */
export interface Affine {
  readonly scale: Float32Array;
  readonly shift: Float32Array;
}

/** The map of a BatchNormalization node, if `floats` knows the values of all of its parameters. */
export function affineOf(
  { inputs, attributes }: GraphNode,
  floats: (value: Value) => Float32Array | undefined,
): Affine | undefined {
  const [gamma, beta, mean, variance] = inputs.slice(1).map(floats);
  if (!gamma || !beta || !mean || !variance) return undefined;
  const epsilon = (attributes.epsilon as { float: number } | undefined)?.float ?? 1e-5;
  const scale = gamma.map((g, c) => g / Math.sqrt((variance[c] ?? 0) + epsilon));
  return { scale, shift: beta.map((b, c) => b - (mean[c] ?? 0) * (scale[c] ?? 0)) };
}
