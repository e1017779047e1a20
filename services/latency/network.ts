import { openModel, type Model } from "../../shared/engine/model";
import type { Genotype } from "../../shared/proto/lathe/v1/space";
import { networkOnnxOf } from "./blocks";
import { withCalibration } from "./calibration";
import { processClock } from "./clock";
import { conditionsOf } from "./conditions";
import { sparedRatio, summarise, type Conditions } from "./figures";
import { imageOf, prepared, type ImageSize } from "./image";
import { agreedMeasurement, type Most } from "./repetition";
import { sampleRuns, type Calibration, type QuietPace, type Samples, type Sampling } from "./sampling";
import type { ProfilingSettings } from "./settings";

/** A network to measure. */
export interface Subject {
  /** ONNX with one input of four axes, uint8 or float32, in either layout; or a genotype with its head, measured with initial weights. */
  model: Uint8Array | { genotype: Genotype; pyramidChannels: number };
  /** Fills a free height and width. */
  size: ImageSize | undefined;
  /** Images per run, each measured on its own. A model of a fixed batch is measured at that batch only. */
  batchSizes: readonly number[];
  /** How often the measurement may be repeated until two agree (agreedMeasurement): for searches. By default it is not. */
  repeated?: Most;
}

export interface Measured {
  samples: Samples;
  conditions: Conditions;
}

/**
 * Time of a measurement: at least 2 s, however short the runs are, because other programs disturb a machine for tenths of seconds. 10 s where
 * the median is still not known well, 6 s where the measurement is repeated.
 */
const BUDGET_MS = { once: 10_000, repeated: 6_000 };
const MINIMUM_RUNS = 6;
const ENOUGH = { runs: Infinity, ms: 2_000 };

/** The limits of a measurement of a whole network. */
const networkSampling = ({ warmupRuns, timedRuns }: ProfilingSettings, budgetMs: number): Sampling => ({
  ...{ warmupRuns, timedRuns, enough: ENOUGH },
  ...{ budgetMs, minimumRuns: MINIMUM_RUNS },
});

/**
 * Measures a network at each batch size, in turns with the calibration network. A run ends with its outputs in this process's memory, on a
 * GPU too. `quiet` is what earlier measurements have told. INVALID_ARGUMENT (MODEL_UNSUPPORTED) for inputs other than images.
 */
export async function measureNetwork(
  { model: subject, size, batchSizes, repeated }: Subject,
  settings: ProfilingSettings,
  signal: AbortSignal,
  quiet?: QuietPace,
): Promise<Measured[]> {
  const bytes = "genotype" in subject ? networkOnnxOf(subject.genotype, subject.pyramidChannels) : subject;
  return withModel(bytes, settings, async (model) => {
    const budgetMs = repeated ? BUDGET_MS.repeated : BUDGET_MS.once;
    // Every batch is looked at before anything is measured.
    const images = batchSizes.map((batch) => imageOf(model, batch, size));
    return withCalibration({ ...settings, start: quiet?.start, signal }, async (calibration) => {
      const measured: Measured[] = [];
      for (const { input, tensor, height, width } of images) {
        const run = await model.prepare(input, tensor);
        const measure = async (): Promise<Measured> => ({
          samples: await sampleRuns(run, networkSampling(settings, budgetMs), signal, processClock, calibration),
          conditions: conditionsOf(settings, { batchSize: tensor.dims[0] ?? 1, height, width }),
        });
        const judge = ({ samples, conditions }: Measured) => ({
          stable: summarise(samples, conditions, quiet?.unitSeconds).stable,
          ratio: sparedRatio(samples, conditions),
        });
        measured.push(await (repeated ? agreedMeasurement(measure, judge, repeated) : measure()));
      }
      return measured;
    });
  });
}

/** Samples of any model with one input of an image of fixed size, batch 1. */
export async function sampleModel(
  bytes: Uint8Array,
  settings: ProfilingSettings,
  sampling: Sampling,
  signal: AbortSignal,
  calibration?: Calibration,
): Promise<Samples> {
  return withModel(bytes, settings, async (model) =>
    sampleRuns(await prepared(model), sampling, signal, processClock, calibration),
  );
}

/** Opens a session for `use` and releases it afterwards. */
async function withModel<T>(
  bytes: Uint8Array,
  { provider, threads }: ProfilingSettings,
  use: (model: Model) => Promise<T>,
): Promise<T> {
  const model = await openModel(bytes, { provider, threads });
  try {
    return await use(model);
  } finally {
    await model.release();
  }
}
