import { openModel, type Model } from "../../shared/engine/model";
import { plainChainOnnx } from "./blocks";
import { processClock } from "./clock";
import { prepared } from "./image";
import { isBusy } from "./figures";
import type { Calibration, Clock, RunStart } from "./sampling";
import type { ProfilingSettings } from "./settings";
import { ascending, percentile } from "./statistics";
import { UNIT } from "./unit";

/** Units of the calibration networks: near steps, so that the network chosen for a measured one is as long as it. */
const SIZES = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64];
/** Units of the longer of two networks that tell the start of a run, groups of their runs, and groups before those. */
const START = { units: 8, groups: 40, warmUp: 3 };
/** Units of a start that is not known: about that of the processors that were measured. */
const USUAL_START = 0.2;

type CalibrationSettings = Pick<ProfilingSettings, "provider" | "threads"> & {
  start: RunStart | undefined;
  signal: AbortSignal;
};

/** ONNX of the calibration network of a number of units. */
function calibrationOnnx(units: number): Uint8Array {
  const { channels, height, width } = UNIT;
  const block = { dilation: 1, scale: 1, middleWidth: channels, outputWidth: channels };
  const blocks = Array.from({ length: UNIT.blocks * units }, () => block);
  return plainChainOnnx({ inputs: channels, blocks, height, width });
}

/**
 * The calibration networks on a device for as long as `use` takes. Each is opened at its first use. The start of a run is `start` where that is
 * known, and is measured otherwise.
 */
export async function withCalibration<T>(
  { provider, threads, start, signal }: CalibrationSettings,
  use: (calibration: Calibration) => Promise<T>,
): Promise<T> {
  const models: Model[] = [];
  const runs = new Map<number, () => Promise<unknown>>();
  const open = async (units: number): Promise<() => Promise<unknown>> => {
    const known = runs.get(units);
    if (known) return known;
    const model = await openModel(calibrationOnnx(units), { provider, threads });
    models.push(model);
    const run = await prepared(model);
    runs.set(units, run);
    return run;
  };
  try {
    return await use({ sizes: SIZES, start: start ?? (await startOf(open, threads, signal)), open });
  } finally {
    for (const model of models) await model.release();
  }
}

/**
 * Time k of a run beside that of its units, in units. n runs of one unit take n (1 + k), and a run of n units takes n + k. Of their quotient q =
 * n (1 + k) / (n + k), k = n (q - 1) / (n - q). Other programs touch the tenth percentiles least. Rejects with the signal's reason if it aborts.
 */
export async function startOf(
  open: Calibration["open"],
  threads: number,
  signal: AbortSignal,
  clock: Clock = processClock,
): Promise<RunStart> {
  const { units: n, groups, warmUp } = START;
  const [short, long] = [await open(1), await open(n)];
  const timed = async (run: () => Promise<unknown>, times: number) => {
    const before = clock.now();
    for (let i = 0; i < times; i++) await run();
    return clock.now() - before;
  };
  const [ofShort, ofLong]: [number[], number[]] = [[], []];
  const [began, waited] = [clock.now(), clock.waiting()];
  for (let group = -warmUp; group < groups; group++) {
    await clock.breathe();
    signal.throwIfAborted();
    const [one, other] = [await timed(short, n), await timed(long, 1)];
    if (group < 0) continue;
    ofShort.push(one);
    ofLong.push(other);
  }
  if (isBusy({ elapsedMs: clock.now() - began, waitedMs: waited() }, { threads }))
    return { units: USUAL_START, isSure: false };
  const quotient = percentile(ascending(ofShort), 10) / percentile(ascending(ofLong), 10);
  const q = Math.min(Math.max(quotient, 1), n - 1);
  return { units: (n * (q - 1)) / (n - q), isSure: true };
}
