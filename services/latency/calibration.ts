import { openModel, type Model } from "../../shared/engine/model";
import { plainChainOnnx } from "./blocks";
import { prepared } from "./image";
import type { Calibration } from "./sampling";
import type { ProfilingSettings } from "./settings";
import { UNIT } from "./unit";

/** Units of the calibration networks. */
const SIZES = [1, 2, 4, 8, 16, 32, 64];

/** ONNX of the calibration network of a number of units. */
function calibrationOnnx(units: number): Uint8Array {
  const { channels, height, width } = UNIT;
  const block = { dilation: 1, scale: 1, middleWidth: channels, outputWidth: channels };
  const blocks = Array.from({ length: UNIT.blocks * units }, () => block);
  return plainChainOnnx({ inputs: channels, blocks, height, width });
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
