import type {
  AugmentationSpec,
  CostSpec,
  HealthSpec,
  ProfilingSpec,
  RegularizationSpec,
  RetrainingSpec,
  SamplingSpec,
  ShrinkingSpec,
  SupernetTrainingSpec,
} from "../proto/lathe/v1/spec";
import { MAX_PYRAMID_CHANNELS } from "../space/validate";

/** Names of the presets. */
export const PRESETS = ["tiny", "small", "medium", "large", "paper"] as const;
export type Preset = (typeof PRESETS)[number];

/** Type and interval of a number. The interval is closed, open at both ends, or open at its maximum. */
export interface Bounds {
  integer: boolean;
  min: number;
  max: number;
  open?: "ends" | "max";
  /** The number's meaning, for the message of a value outside. */
  meaning?: string;
}

type Values = Record<Preset, number>;

/** Bounds of a number of a spec, and its value in each preset. */
export type NumberField = Bounds & Values;

type NumberKeys<T> = { [K in keyof T]-?: NonNullable<T[K]> extends number ? K : never }[keyof T];
type Section<T, Enums extends keyof T = never> = Record<Exclude<NumberKeys<T>, Enums>, NumberField>;

const whole = (min: number, max: number, values: Values): NumberField => ({ integer: true, min, max, ...values });
const real = (min: number, max: number, values: Values): NumberField => ({ integer: false, min, max, ...values });
const same = (value: number): Values => ({ tiny: value, small: value, medium: value, large: value, paper: value });

/** The policy fields of HealthSpec, one per kind of alarm. */
export type HealthPolicyField = keyof HealthSpec & `on${string}`;

/** Every number of a spec outside of its space: bounds, and the values of the presets. */
export const NUMBERS: {
  training: Section<SupernetTrainingSpec>;
  regularization: Section<RegularizationSpec>;
  shrinking: Section<ShrinkingSpec, "atBudgetEnd">;
  cost: Section<CostSpec, "metric">;
  retraining: Section<RetrainingSpec>;
  profiling: Section<ProfilingSpec>;
  sampling: Section<SamplingSpec>;
  health: Section<HealthSpec, HealthPolicyField>;
  augmentation: Section<AugmentationSpec>;
} = {
  training: {
    epochs: whole(1, 10000, { tiny: 30, small: 40, medium: 30, large: 120, paper: 200 }),
    batchSize: whole(1, 256, { tiny: 8, small: 8, medium: 8, large: 8, paper: 6 }),
    weightLearningRate: {
      ...real(0, 10, { tiny: 2e-3, small: 1e-3, medium: 1e-3, large: 5e-4, paper: 3e-4 }),
      open: "ends",
    },
    weightDecay: real(0, 1, same(1e-4)),
    // 0: the rate follows from the number of steps (services/supernet/training/schedule.ts).
    alphaLearningRate: real(0, 10, same(0)),
    alphaWeightDecay: real(0, 1, same(1e-3)),
    warmupEpochs: whole(0, 9999, { tiny: 1, small: 0, medium: 0, large: 0, paper: 0 }),
  },
  // A rising factor separates nearly equal candidates at any budget. The paper's factor is 1 throughout (docs/schedules.md).
  regularization: {
    operation: real(0, 1e6, same(30)),
    outputWidth: real(0, 1e6, same(15)),
    middleWidth: real(0, 1e6, same(15)),
    depth: real(0, 1e6, same(30)),
    rampFrom: real(0, 1e6, same(1)),
    rampTo: real(0, 1e6, same(61)),
  },
  shrinking: {
    threshold: { ...real(0, 1, same(0.1)), open: "ends" },
    firstEpoch: whole(1, 10000, { tiny: 2, small: 1, medium: 1, large: 1, paper: 1 }),
    extraEpochs: whole(0, 10000, { tiny: 4, small: 10, medium: 10, large: 30, paper: 50 }),
  },
  cost: {
    target: { ...real(0, 1, same(0.6)), open: "ends", meaning: "the share of the largest network's cost" },
    weight: real(0, 1e6, same(3000)),
    band: real(0.001, 1, same(0.05)),
    targetMs: real(0, 1e6, { ...same(0), medium: 10 }),
    targetFps: real(0, 1e6, same(0)),
  },
  retraining: {
    epochs: whole(0, 10000, { tiny: 40, small: 80, medium: 100, large: 300, paper: 300 }),
    batchSize: whole(1, 256, { tiny: 8, small: 8, medium: 8, large: 8, paper: 6 }),
    learningRate: { ...real(0, 10, { tiny: 2e-2, small: 3e-3, medium: 3e-3, large: 1e-3, paper: 5e-4 }), open: "ends" },
    weightDecay: real(0, 1, same(1e-4)),
    pyramidChannels: whole(1, MAX_PYRAMID_CHANNELS, { tiny: 8, small: 16, medium: 16, large: 32, paper: 40 }),
    dropout: { ...real(0, 1, { tiny: 0, small: 0.05, medium: 0.05, large: 0.1, paper: 0.1 }), open: "max" },
    rateWarmupEpochs: real(0, 10000, same(0)),
    emaDecay: { ...real(0, 1, same(0)), open: "max" },
    ohemThreshold: real(0.01, 1, same(1)),
    validateEvery: whole(1, 10000, { tiny: 2, small: 2, medium: 2, large: 5, paper: 5 }),
  },
  profiling: {
    warmupRuns: whole(0, 10000, same(100)),
    timedRuns: whole(1, 100000, same(1000)),
    threads: whole(1, 256, same(1)),
  },
  sampling: {
    candidates: whole(1, 1000, same(4)),
    evaluations: whole(1, 100000, { tiny: 40, small: 100, medium: 100, large: 500, paper: 500 }),
    population: whole(1, 10000, { tiny: 10, small: 20, medium: 20, large: 50, paper: 50 }),
    tournament: whole(1, 10000, { tiny: 3, small: 5, medium: 5, large: 10, paper: 10 }),
    costTolerance: real(0.001, 1, same(0.05)),
  },
  // A healthy search of a preset raises no alarm (docs/health.md). Shares never exceed 1, so a bound of 1 is off.
  health: {
    maxGradientNorm: { ...real(0, 1e9, same(100)), open: "ends" },
    graceEpochs: whole(0, 10000, same(3)),
    maxClassShare: real(0, 1, same(0.95)),
    maxMiouDrop: real(0, 1, same(0.2)),
    maxOperationShare: real(0, 1, same(0.9)),
    maxScaleShare: real(0, 1, same(1)),
    maxLateEntropy: real(0, 1, same(0.95)),
    patience: whole(0, 10000, same(0)),
  },
  // The authors' released retraining has these flips and shifts, and nothing else. Networks of medium overfit CamVid with them alone
  // (docs/results.md#training-recipe); large has medium's values without a run of its own.
  augmentation: {
    flip: real(0, 1, same(0.5)),
    shift: whole(0, 256, same(2)),
    scaleMin: real(0.1, 10, { ...same(1), medium: 0.7, large: 0.7 }),
    scaleMax: real(0.1, 10, { ...same(1), medium: 1.6, large: 1.6 }),
    brightness: real(0, 1, { ...same(0), medium: 0.2, large: 0.2 }),
    contrast: real(0, 1, { ...same(0), medium: 0.2, large: 0.2 }),
    saturation: real(0, 1, { ...same(0), medium: 0.2, large: 0.2 }),
  },
};

/** Number of scenes per split of the data set streets. */
export const EXAMPLES: { trainExamples: NumberField; validationExamples: NumberField } = {
  trainExamples: whole(1, 1000000, { tiny: 256, small: 368, medium: 368, large: 2976, paper: 2976 }),
  validationExamples: whole(1, 1000000, { tiny: 64, small: 100, medium: 100, large: 500, paper: 500 }),
};

/** Describes the fault of a number; undefined if it is within its bounds. NaN and infinities never are. */
export function numberFault(value: number, { integer, min, max, open, meaning }: Bounds): string | undefined {
  const inside = (open === "ends" ? value > min : value >= min) && (open === undefined ? value <= max : value < max);
  if (inside && (!integer || Number.isInteger(value))) return undefined;
  const kind = `${meaning === undefined ? "" : `${meaning}, `}${integer ? "an integer" : "a number"}`;
  if (open === "ends") return `is ${value}, must be ${kind} above ${min} and below ${max}`;
  if (open === "max") return `is ${value}, must be ${kind} of at least ${min} and below ${max}`;
  return `is ${value}, must be ${kind} between ${min} and ${max}`;
}

/** A client's text, shortened for a message. */
export function clip(text: string): string {
  return text.length <= MAX_LABEL_LENGTH ? text : `${text.slice(0, MAX_LABEL_LENGTH)}...`;
}

/** Records a fault: a proto path and its description. */
export type Fault = (field: string, description: string) => void;

/** The values of an enum without UNSPECIFIED and UNRECOGNIZED. */
export function valuesOf<T extends number>(enumeration: Readonly<Record<string, string | T>>): T[] {
  return Object.values(enumeration).filter((value): value is T => typeof value === "number" && value > 0);
}

/** Whether a number is a value of an enum other than UNSPECIFIED and UNRECOGNIZED. */
export function isOneOf(enumeration: Readonly<Record<string, string | number>>, value: number): boolean {
  return valuesOf(enumeration).includes(value);
}

/** "batch_size", as in proto paths, for "batchSize", as in the generated types. */
export function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** "output_width" for DIMENSION_OUTPUT_WIDTH, given the enum's prefix "DIMENSION_"; the number if the enum has no such value. */
export function enumWord(enumeration: Readonly<Record<number, string>>, prefix: string, value: number): string {
  return (enumeration[value] ?? String(value)).replace(prefix, "").toLowerCase();
}

/** Limits of the labels and names in a spec. */
export const MAX_LABELS = 32;
export const MAX_LABEL_LENGTH = 63;
export const MAX_PATH_LENGTH = 4096;
/** Characters of a line of dataset.classes, or of a class in dataset.label_values. */
export const MAX_CLASS_LENGTH = 128;
/** Characters of the longest name of a device class. */
export const MAX_DEVICE_CLASS_LENGTH = 32;
export const MAX_SUFFIX_LENGTH = 64;
/** Entries of cost.targets, and characters of each. */
export const MAX_TARGETS = 8;
export const MAX_TARGET_LENGTH = 16;
/** Longest licence of a data set, in characters. */
export const MAX_LICENSE_LENGTH = 1000;
export const MAX_SEED = 0xffffffff;
