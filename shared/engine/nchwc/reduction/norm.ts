import { binary, step } from "../../emit";
import type { Value } from "../../graph";
import type { Recorder } from "../../recorder";
import { channelsOf, affine } from "../emit";
import { moments, normCoefficients, normGradient, rootInverse } from "../norm";

/** Values of a batch norm with ReLU that its derivative reads. Vectors have one value per channel of h. */
export interface Normed {
  y: Value;
  h: Value;
  mean: Value;
  variance: Value;
}

/** y = ReLU(BN(h)). */
export function emitNorm(r: Recorder, h: Value, gamma: Value, beta: Value, epsilon: number): Normed {
  const { mean, variance } = moments(r, [h]);
  const { scale, shift } = normCoefficients(r, { mean, variance }, gamma, beta, epsilon);
  return { y: affine(r, h, scale, { shift, relu: true }), h, mean, variance };
}

/** Derivatives of gamma and beta, and u with scale = gamma*r: the derivative of h is scale * u (gradient.ts). */
export function emitNormGradient(
  r: Recorder,
  { y, h, mean, variance }: Normed,
  gamma: Value,
  dy: Value,
  epsilon: number,
): { gamma: Value; beta: Value; u: Value; scale: Value } {
  const root = rootInverse(r, variance, epsilon);
  const dz = binary(r, "Mul", dy, step(r, y));
  const { dg, db, a, c } = normGradient(r, [dz], [h], mean, root, [channelsOf(h)]);
  const [, , height, width] = h.shape as [number, number, number, number];
  const positions = r.scalar(height * width);
  return {
    gamma: binary(r, "Mul", dg, positions),
    beta: binary(r, "Mul", db, positions),
    u: affine(r, h, a[0] as Value, { shift: c[0] as Value, sum: dz }),
    scale: binary(r, "Mul", gamma, root),
  };
}
