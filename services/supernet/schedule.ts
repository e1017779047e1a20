/** Poly learning rate of an epoch counted from 1: base * (1 - (epoch - 1) / epochs)^0.9 (method.md section 3). */
export function polyRate(base: number, epoch: number, epochs: number): number {
  return base * Math.max(0, 1 - (epoch - 1) / epochs) ** 0.9;
}

/** SSR factor at an alpha step counted from 0: from `from` at the first to `to` at the last step of the budget, linearly. */
export function ssrFactor(from: number, to: number, step: number, steps: number): number {
  return from + (to - from) * Math.min(1, steps > 1 ? step / (steps - 1) : 1);
}

/** ENet's class weights 1 / ln(1.10 + frequency) from shares of the training set's labelled pixels. */
export function classWeights(frequencies: readonly number[]): Float32Array {
  return Float32Array.from(frequencies, (frequency) => 1 / Math.log(1.1 + frequency));
}
