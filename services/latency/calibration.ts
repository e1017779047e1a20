import { openModel, type Model } from "../../shared/engine/model";
import { plainChainOnnx } from "./blocks";
import { processClock } from "./clock";
import { prepared } from "./image";
import type { Calibration, Clock } from "./sampling";
import type { ProfilingSettings } from "./settings";
import { ascending, percentile } from "./statistics";
import { UNIT } from "./unit";

/** Units of the calibration networks: near steps, so that the network chosen for a measured one is as long as it. */
const SIZES = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64];
/** Units of the longer of two networks that tell the start of a run, groups of their runs, and groups before those. */
const START = { units: 8, groups: 40, warmUp: 3 };

/** ONNX of the calibration network of a number of units. */
function calibrationOnnx(units: number): Uint8Array {
  const { channels, height, width } = UNIT;
  const block = { dilation: 1, scale: 1, middleWidth: channels, outputWidth: channels };
  const blocks = Array.from({ length: UNIT.blocks * units }, () => block);
  return plainChainOnnx({ inputs: channels, blocks, height, width });
}

/**
 * The calibration networks on a device for as long as `use` takes. Each is opened at its first use. The start of a run is `start` where it is
 * known from a quiet moment, and is measured otherwise.
 */
export async function withCalibration<T>(
  { provider, threads, start }: Pick<ProfilingSettings, "provider" | "threads"> & { start?: number | undefined },
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
    const opened = async (units: number) => runs.get(units) ?? open(units);
    return await use({ sizes: SIZES, start: start ?? (await startOf(opened)), open: opened });
  } finally {
    for (const model of models) await model.release();
  }
}

/**
 * Time k of a run beside that of its units, in units. n runs of one unit take n (1 + k), and a run of n units takes n + k. Of their quotient q =
 * n (1 + k) / (n + k), k = n (q - 1) / (n - q). Other programs touch the tenth percentiles least.
 */
export async function startOf(open: Calibration["open"], clock: Pick<Clock, "now"> = processClock): Promise<number> {
  const { units, groups, warmUp } = START;
  const [short, long] = [await open(1), await open(units)];
  const timed = async (run: () => Promise<unknown>, times: number) => {
    const before = clock.now();
    for (let i = 0; i < times; i++) await run();
    return clock.now() - before;
  };
  const [ofShort, ofLong]: [number[], number[]] = [[], []];
  for (let group = -warmUp; group < groups; group++) {
    const [one, other] = [await timed(short, units), await timed(long, 1)];
    if (group >= 0) (ofShort.push(one), ofLong.push(other));
  }
  const quotient = percentile(ascending(ofShort), 10) / percentile(ascending(ofLong), 10);
  const within = Math.min(Math.max(quotient, 1), units - 1);
  return (units * (within - 1)) / (units - within);
}
