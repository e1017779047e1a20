import { plainChainOnnx } from "./blocks";

/** Widths and resolution at which a run takes about a millisecond, and its convolutions fill several threads. */
const [WIDTH, HEIGHT_PIXELS, WIDTH_PIXELS] = [64, 48, 64];

/**
 * ONNX of the calibration network: two factorized blocks of 64 channels at 48x64. Its time between the runs of a measured network shows
 * the speed of the device at that moment. It never changes, so its times on one device compare over the years.
 */
export function calibrationOnnx(): Uint8Array {
  const block = { dilation: 1, scale: 1, middleWidth: WIDTH, outputWidth: WIDTH };
  return plainChainOnnx({ inputs: WIDTH, blocks: [block, block], height: HEIGHT_PIXELS, width: WIDTH_PIXELS });
}
