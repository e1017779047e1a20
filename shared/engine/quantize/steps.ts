/** The smallest and the largest value that a tensor was seen to have. */
export interface Range {
  readonly low: number;
  readonly high: number;
}

/** Whole numbers q stand for scale * (q - zeroPoint). */
export interface Steps {
  readonly scale: number;
  readonly zeroPoint: number;
}

/** uint8 steps of an activation. 0 is one of them exactly, because convolutions pad with it and ReLU begins at it. */
export function activationSteps({ low, high }: Range): Steps {
  const [from, to] = [Math.min(0, low), Math.max(0, high)];
  const scale = Math.fround((to - from) / 255) || 1;
  return { scale, zeroPoint: Math.min(255, Math.max(0, Math.round(-from / scale))) };
}

interface QuantizedFilter {
  /** [outputs, inputs, kernel height, kernel width] */
  readonly filter: Int8Array;
  readonly bias: Int32Array;
  /** One of each output channel; that of the bias is its product with the scale of the input. */
  readonly scales: Float32Array;
  readonly biasScales: Float32Array;
}

/** Largest magnitude of an int8 weight: symmetric, so that products need no correction for a zero point. */
const MOST = 127;
/** Largest magnitude of an int32 bias, with a bit to spare for the sum that it is added to. */
const MOST_BIAS = 2 ** 30;

/**
 * Filter and bias of a convolution in whole steps, symmetric and per output channel: w = scales[c] q. The scale of a channel is also large
 * enough that its bias fits into 32 bits; of a channel that is all bias, it is what gives the bias 30 bits.
 */
export function quantizeFilter(filter: Float32Array, bias: Float32Array, inputScale: number): QuantizedFilter {
  const outputs = bias.length;
  const taps = filter.length / outputs;
  const scales = new Float32Array(outputs);
  const whole = new Int8Array(filter.length);
  for (let c = 0; c < outputs; c++) {
    const weights = filter.subarray(c * taps, (c + 1) * taps);
    const largest = weights.reduce((most, weight) => Math.max(most, Math.abs(weight)), 0);
    const scale = Math.fround(Math.max(largest / MOST, Math.abs(bias[c] ?? 0) / (inputScale * MOST_BIAS))) || 1;
    scales[c] = scale;
    weights.forEach((weight, at) => {
      whole[c * taps + at] = Math.max(-MOST, Math.min(MOST, Math.round(weight / scale)));
    });
  }
  const biasScales = scales.map((scale) => scale * inputScale);
  const wholeBias = Int32Array.from(bias, (value, c) => Math.round(value / (biasScales[c] ?? 1)));
  return { filter: whole, bias: wholeBias, scales, biasScales };
}
