import { plainChainOnnx } from "./blocks";

const [CHANNELS, HEIGHT, WIDTH] = [64, 132, 176];

/** Names the calibration network in the keys of what counts in its runs. */
export const CALIBRATION = `${CHANNELS}x${HEIGHT}x${WIDTH}`;

/**
 * ONNX of the calibration network: a factorized block of 64 channels at 132x176. Its time between the runs of a measured network shows the
 * speed of the device at that moment. Each of its four convolutions takes a millisecond or more: shorter ones also show how fast the system
 * wakes threads, which may change by half within one process while the measured network stays as it is.
 */
export function calibrationOnnx(): Uint8Array {
  const block = { dilation: 1, scale: 1, middleWidth: CHANNELS, outputWidth: CHANNELS };
  return plainChainOnnx({ inputs: CHANNELS, blocks: [block], height: HEIGHT, width: WIDTH });
}
