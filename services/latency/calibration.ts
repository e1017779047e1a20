import { openModel, type Model } from "../../shared/engine/model";
import { plainChainOnnx } from "./blocks";
import { prepared } from "./image";
import type { Calibration } from "./sampling";
import type { ProfilingSettings } from "./settings";

const [CHANNELS, HEIGHT, WIDTH] = [64, 48, 64];
/** Blocks of a unit. They take about a millisecond. */
const UNIT = 2;
/** Units of the calibration networks. */
const SIZES = [1, 2, 4, 8, 16, 32, 64];

/** Names the calibration networks in the keys of what counts in their units. */
export const CALIBRATION = `${CHANNELS}x${HEIGHT}x${WIDTH}`;

/** ONNX of the calibration network of a number of units: two factorized blocks of 64 channels at 48x64 each. It never changes. */
export function calibrationOnnx(units: number): Uint8Array {
  const block = { dilation: 1, scale: 1, middleWidth: CHANNELS, outputWidth: CHANNELS };
  const blocks = Array.from({ length: UNIT * units }, () => block);
  return plainChainOnnx({ inputs: CHANNELS, blocks, height: HEIGHT, width: WIDTH });
}

/** The calibration networks on a device for as long as `use` takes. Each is opened at its first use. */
export async function withCalibration<T>(
  { provider, threads }: Pick<ProfilingSettings, "provider" | "threads">,
  use: (calibration: Calibration) => Promise<T>,
): Promise<T> {
  const models: Model[] = [];
  const runs = new Map<number, () => Promise<unknown>>();
  const open = async (units: number): Promise<() => Promise<unknown>> => {
    const model = await openModel(calibrationOnnx(units), { provider, threads });
    models.push(model);
    const run = await prepared(model);
    runs.set(units, run);
    return run;
  };
  try {
    return await use({ sizes: SIZES, open: async (units) => runs.get(units) ?? open(units) });
  } finally {
    for (const model of models) await model.release();
  }
}
