import { createSession } from "../../shared/engine/session";
import { tileSize } from "../../shared/engine/nchwc/tileSize";
import { openModel } from "../../shared/engine/model";
import { LatheError } from "../../shared/process/errors";
import { calibrationOnnx } from "./calibration";
import { processClock } from "./clock";
import { measureNetwork, prepared, sampleModel, type Measured } from "./network";
import type { Sampling } from "./sampling";
import type { ProfilingSettings } from "./settings";
import { medianOf } from "./statistics";

/** Times models: by ONNX Runtime in the service, by a formula in tests. */
export interface Timer {
  /** Channels of a tile of the device's convolutions. */
  tile: number;
  /** Median seconds of a run, as it would be at the speed that the device had when the timer was made. */
  seconds(model: Uint8Array, signal: AbortSignal): Promise<number>;
  network(model: Uint8Array, signal: AbortSignal): Promise<Measured>;
}

/** Time per model in ms. A table of 10 candidates in 2 stages has hundreds of models. */
const BUDGET_MS = 150;
const MINIMUM_RUNS = 5;
const ENOUGH = { runs: 20, ms: 50 };
/** Channels of a tile where the device has no blocked layout. */
const TILE = 8;
/** Runs of the calibration network that give its time in the beginning. */
const REFERENCE_RUNS = 50;

/**
 * A timer that ONNX Runtime serves, for as long as `use` takes. The calibration network runs in turns with each model: its time, over that
 * in the beginning, is divided out, because a device's speed drifts in the minutes that a table takes.
 */
export async function withTimer<T>(settings: ProfilingSettings, use: (timer: Timer) => Promise<T>): Promise<T> {
  const { warmupRuns, timedRuns, provider, threads } = settings;
  const options = { provider, threads };
  const sampling: Sampling = {
    ...{ warmupRuns, timedRuns, enough: ENOUGH },
    ...{ budgetMs: BUDGET_MS, minimumRuns: Math.min(MINIMUM_RUNS, timedRuns) },
  };
  const model = await openModel(calibrationOnnx(), options);
  try {
    const calibrate = await prepared(model);
    const reference = medianOf(await times(calibrate));
    const tile = (await tileSize((bytes) => createSession(bytes, options))) ?? TILE;
    return await use({
      tile,
      seconds: async (bytes, signal) => {
        const { seconds, calibration } = await sampleModel(bytes, settings, sampling, signal, calibrate);
        return (medianOf(seconds) * reference) / medianOf(calibration);
      },
      network: async (bytes, signal) => {
        const subject = { model: bytes, size: undefined, batchSizes: [1] };
        const [measured] = await measureNetwork(subject, settings, signal);
        if (!measured) throw new LatheError("INTERNAL", "a network was not measured");
        return measured;
      },
    });
  } finally {
    await model.release();
  }
}

async function times(run: () => Promise<unknown>): Promise<number[]> {
  const seconds: number[] = [];
  for (let i = 0; i < REFERENCE_RUNS; i++) {
    const before = processClock.now();
    await run();
    seconds.push((processClock.now() - before) / 1000);
  }
  return seconds;
}
