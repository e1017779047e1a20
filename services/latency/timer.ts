import { createSession } from "../../shared/engine/session";
import { tileSize } from "../../shared/engine/nchwc/tileSize";
import { LatheError } from "../../shared/process/errors";
import { withCalibration } from "./calibration";
import { sparedRatio } from "./figures";
import { thisMachine } from "./machine";
import { measureNetwork, sampleModel, type Measured } from "./network";
import { MOST } from "./repetition";
import type { QuietPace, Sampling } from "./sampling";
import { ascending, medianOf, percentile } from "./statistics";
import type { ProfilingSettings } from "./settings";

/** A measurement of a model on one device. */
export interface Timing {
  /** Time of a run over that of a unit of the calibration network meanwhile (sparedRatio). */
  ratio: number;
  /** Seconds of a unit of the calibration network. The fewer, the less other programs have disturbed. */
  calibration: number;
}

/** Measurements of one length. */
export interface Stopwatch {
  /** Names the device (provenanceKey) and the runs of a measurement, in the keys of fragments. */
  key: string;
  time(model: Uint8Array, signal: AbortSignal): Promise<Timing>;
}

/** Times models: by ONNX Runtime in the service, by a formula in tests. */
export interface Timer {
  /** Channels of a tile of the device's convolutions. */
  tile: number;
  /** Times chains of blocks. */
  blocks: Stopwatch;
  /** Times whole networks. They differ by less than chains of blocks do, so a measurement takes longer. */
  networks: Stopwatch;
  /**
   * Seconds of a unit of the calibration network in the quiet moments of these measurements: the tenth percentile of its medians. Undefined
   * before the first.
   */
  quietUnit(): number | undefined;
  /** Measures a whole network until two measurements agree (agreedMeasurement). */
  network(model: Uint8Array, signal: AbortSignal): Promise<Measured>;
}

/**
 * Limits of the warm-up and of the timed runs of a model. A table of 10 candidates in 2 stages has hundreds of chains, whose errors cancel in a
 * sum. It has some 25 networks, which scale and judge that sum.
 */
const LENGTHS = {
  blocks: { budgetMs: 200, enough: { runs: 20, ms: 100 } },
  networks: { budgetMs: 1500, enough: { runs: 40, ms: 500 } },
};
const MINIMUM_RUNS = 5;
/** Channels of a tile where the device has no blocked layout. */
const TILE = 8;

/**
 * A timer that ONNX Runtime serves, for as long as `use` takes. The calibration network runs in turns with each model: a device's speed drifts
 * in the minutes that a table takes, and other programs slow it. `quiet` is what earlier measurements have told.
 */
export async function withTimer<T>(
  settings: ProfilingSettings,
  use: (timer: Timer) => Promise<T>,
  signal: AbortSignal,
  quiet?: QuietPace,
): Promise<T> {
  const { warmupRuns, timedRuns, provider, threads } = settings;
  const options = { provider, threads };
  return withCalibration({ ...settings, start: quiet?.start, signal }, async (calibrations) => {
    const tile = (await tileSize((bytes) => createSession(bytes, options))) ?? TILE;
    const units: number[] = [];
    const stopwatch = ({ budgetMs, enough }: Pick<Sampling, "budgetMs" | "enough">): Stopwatch => {
      const minimumRuns = Math.min(MINIMUM_RUNS, timedRuns);
      const sampling: Sampling = { warmupRuns, timedRuns, budgetMs, minimumRuns, enough };
      return {
        // Fewer runs know a time less well, so their fragments are others.
        key: `${thisMachine.figures(settings).key}.${Math.min(timedRuns, enough.runs)}`,
        time: async (bytes, signal) => {
          const samples = await sampleModel(bytes, settings, sampling, signal, calibrations);
          const calibration = percentile(ascending(samples.calibration), 10);
          units.push(medianOf(samples.calibration));
          return { ratio: sparedRatio(samples, settings), calibration };
        },
      };
    };
    return await use({
      tile,
      blocks: stopwatch(LENGTHS.blocks),
      networks: stopwatch(LENGTHS.networks),
      quietUnit: () => (units.length > 0 ? percentile(ascending(units), 10) : undefined),
      network: async (bytes, signal) => {
        const subject = { model: bytes, size: undefined, batchSizes: [1], repeated: MOST.held };
        // With one start, the network and the table count in the same unit.
        const pace = { start: calibrations.start, unitSeconds: quiet?.unitSeconds };
        const [measured] = await measureNetwork(subject, settings, signal, pace);
        if (!measured) throw new LatheError("INTERNAL", "a network was not measured");
        return measured;
      },
    });
  });
}
