import { binary, cast, reshape, unary } from "../emit";
import type { Value } from "../graph";
import type { Recorder } from "../recorder";
import { channelMeans, split } from "./emit";

/** Splits a vector of factors per channel into filters of depthwise convolutions, [size, 1, 1, 1] each. */
export function splitFactors(r: Recorder, vector: Value, sizes: readonly number[]): Value[] {
  return split(r, reshape(r, vector, [...vector.shape, 1, 1, 1]), sizes);
}

/** Mean and variance of each channel of each value, concatenated. */
export function moments(r: Recorder, values: readonly Value[]): { mean: Value; variance: Value } {
  const mean = channelMeans(r, ...values);
  const squares = channelMeans(r, ...values.map((value) => binary(r, "Mul", value, value)));
  // The difference is taken in float64, since the digits that both share vanish. Rounding may make it negative, so it is clipped at 0.
  const variance = cast(r, binary(r, "Sub", squares, binary(r, "Mul", mean, mean)), "float32");
  return { mean: cast(r, mean, "float32"), variance: unary(r, "Relu", variance) };
}

/** 1 / sqrt(variance + epsilon). */
export function rootInverse(r: Recorder, variance: Value, epsilon: number): Value {
  return unary(r, "Reciprocal", unary(r, "Sqrt", binary(r, "Add", variance, r.scalar(epsilon))));
}

/** The norm with these moments, as scale and shift per channel. */
export function normCoefficients(
  r: Recorder,
  { mean, variance }: { mean: Value; variance: Value },
  gamma: Value,
  beta: Value,
  epsilon: number,
): { scale: Value; shift: Value } {
  const scale = binary(r, "Mul", gamma, rootInverse(r, variance, epsilon));
  return { scale, shift: binary(r, "Sub", beta, binary(r, "Mul", mean, scale)) };
}

/**
 * Derivatives through concatenated norms (see emitGradient): with respect to gamma and beta, as means over positions, and the vectors a
 * and c of u. meanDy is in float64.
 */
export function normGradient(
  r: Recorder,
  dys: readonly Value[],
  hs: readonly Value[],
  mean: Value,
  root: Value,
  sizes: readonly number[],
  meanDy = channelMeans(r, ...dys),
): { dg: Value; db: Value; a: Value[]; c: Value[] } {
  const products = channelMeans(r, ...dys.map((dy, at) => binary(r, "Mul", dy, hs[at] as Value)));
  const centred = binary(r, "Sub", products, binary(r, "Mul", cast(r, mean, "float64"), meanDy));
  const dg = binary(r, "Mul", cast(r, centred, "float32"), root);
  const db = cast(r, meanDy, "float32");
  const slope = binary(r, "Mul", root, dg);
  const c = binary(r, "Sub", binary(r, "Mul", slope, mean), db);
  return { dg, db, a: splitFactors(r, unary(r, "Neg", slope), sizes), c: split(r, c, sizes) };
}
