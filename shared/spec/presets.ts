import { LatheError } from "../process/errors";
import { CostMetric, OperationKind, type HeadWidths, type Stage } from "../proto/lathe/v1/space";
import {
  AlgorithmKind,
  BudgetPolicy,
  DatasetKind,
  DatasetSpec,
  type AlgorithmSpec,
  type SearchSpec,
  type SpaceSpec,
} from "../proto/lathe/v1/spec";
import { EXAMPLES, NUMBERS, PRESETS, type NumberField, type Preset } from "./bounds";
import { defaultPolicies } from "./health";

/** T with every field set, at every level. */
type Complete<T> = T extends (infer E)[]
  ? Complete<E>[]
  : T extends object
    ? { [K in keyof T]-?: Complete<NonNullable<T[K]>> }
    : T;

/** A SearchSpec with every default filled in. Only algorithm.genotype and space.head_widths stay optional, because they have no default. */
export type ResolvedSpec = Complete<Omit<SearchSpec, "algorithm" | "space">> & {
  algorithm: AlgorithmSpec;
  space: Complete<Omit<SpaceSpec, "headWidths">> & { headWidths: HeadWidths | undefined };
};

type Space = Omit<ResolvedSpec["space"], "classes">;

function stage(channels: number, depths: [number, number], widths: number[], dropout: number): Stage {
  const [minDepth, maxDepth] = depths;
  return { channels, minDepth, maxDepth, widths, dropout };
}

/** The paper's nine widths of a stage. */
function below(channels: number): number[] {
  return [32, 28, 24, 20, 16, 12, 8, 4, 0].map((offset) => channels - offset);
}

const THREE_KINDS = [
  OperationKind.OPERATION_KIND_FACTORIZED,
  OperationKind.OPERATION_KIND_PLAIN,
  OperationKind.OPERATION_KIND_BOTTLENECK,
];

const SPACES: Record<Preset, Space> = {
  tiny: {
    ...{ inputHeight: 64, inputWidth: 128, stemChannels: 8, pyramidChannels: 0, headWidths: undefined },
    stages: [stage(16, [1, 2], [8, 12, 16], 0), stage(32, [1, 2], [16, 24, 32], 0)],
    dilations: [1, 2, 4],
    scales: [1, 2],
    kinds: [OperationKind.OPERATION_KIND_FACTORIZED],
  },
  small: {
    ...{ inputHeight: 96, inputWidth: 128, stemChannels: 8, pyramidChannels: 0, headWidths: undefined },
    stages: [stage(16, [1, 2], [8, 10, 12, 14, 16], 0), stage(32, [1, 3], [16, 20, 24, 28, 32], 0)],
    dilations: [1, 2, 4, 8, 16],
    scales: [1, 2],
    kinds: [OperationKind.OPERATION_KIND_FACTORIZED],
  },
  medium: {
    ...{ inputHeight: 240, inputWidth: 320, stemChannels: 16, pyramidChannels: 0, headWidths: undefined },
    stages: [
      stage(32, [1, 2], [16, 24, 32], 0),
      stage(64, [1, 4], [32, 48, 64], 0),
      stage(128, [1, 6], [64, 96, 128], 0),
    ],
    dilations: [1, 2, 4],
    scales: [1],
    kinds: THREE_KINDS,
  },
  large: {
    ...{ inputHeight: 512, inputWidth: 1024, stemChannels: 32, pyramidChannels: 0, headWidths: undefined },
    stages: [
      stage(64, [1, 3], [32, 48, 64], 0),
      stage(128, [1, 5], [64, 96, 128], 0),
      stage(256, [1, 9], [128, 192, 256], 0.1),
    ],
    dilations: [1, 2, 4, 8],
    scales: [1],
    kinds: THREE_KINDS,
  },
  paper: {
    ...{ inputHeight: 512, inputWidth: 1024, stemChannels: 16, pyramidChannels: 0, headWidths: undefined },
    stages: [stage(64, [1, 5], below(64), 0.03), stage(128, [1, 12], below(128), 0.3)],
    dilations: [1, 2, 4, 8, 16],
    scales: [1, 2],
    kinds: [OperationKind.OPERATION_KIND_FACTORIZED],
  },
};

const DATASETS: Record<Preset, DatasetKind> = {
  tiny: DatasetKind.DATASET_KIND_STREETS,
  small: DatasetKind.DATASET_KIND_CAMVID,
  medium: DatasetKind.DATASET_KIND_CAMVID,
  large: DatasetKind.DATASET_KIND_CITYSCAPES,
  paper: DatasetKind.DATASET_KIND_CITYSCAPES,
};

const METRICS: Record<Preset, CostMetric> = {
  tiny: CostMetric.COST_METRIC_MACS,
  small: CostMetric.COST_METRIC_MACS,
  medium: CostMetric.COST_METRIC_LATENCY,
  large: CostMetric.COST_METRIC_LATENCY,
  paper: CostMetric.COST_METRIC_MACS,
};

/** Whether retraining begins with the search's weights: where it gained in a comparison (docs/results.md#weights-of-the-search). */
const INHERITS: Record<Preset, boolean> = { tiny: false, small: false, medium: true, large: false, paper: false };

/** The values of one preset in a table of numbers. */
function column<T extends Record<string, NumberField>>(fields: T, preset: Preset): { [K in keyof T]: number } {
  const values = Object.entries(fields).map(([name, field]) => [name, field[preset]]);
  return Object.fromEntries(values) as { [K in keyof T]: number };
}

/** Whether a text is the name of a preset. */
export function isPreset(name: string): name is Preset {
  return (PRESETS as readonly string[]).includes(name);
}

/**
 * Returns the whole spec of a preset, as a new object. The path of a data set of files ("" here) and the number of classes (0 here: that of
 * the data set) are left to the client. INVALID_ARGUMENT if there is no such preset.
 */
export function presetSpec(preset: string): ResolvedSpec {
  if (!isPreset(preset))
    throw new LatheError("INVALID_ARGUMENT", `preset "${preset}" is unknown, must be one of ${PRESETS.join(", ")}`);
  return {
    preset,
    dataset: { ...DatasetSpec.fromPartial({ kind: DATASETS[preset] }), path: "", ...column(EXAMPLES, preset) },
    space: { ...structuredClone(SPACES[preset]), classes: 0 },
    training: column(NUMBERS.training, preset),
    regularization: column(NUMBERS.regularization, preset),
    shrinking: { ...column(NUMBERS.shrinking, preset), atBudgetEnd: BudgetPolicy.BUDGET_POLICY_ARGMAX },
    cost: {
      ...column(NUMBERS.cost, preset),
      metric: METRICS[preset],
      ...{ adapt: false, device: "", targets: [], acceptInaccurateTable: false },
    },
    retraining: { ...column(NUMBERS.retraining, preset), inheritWeights: INHERITS[preset] },
    profiling: { ...column(NUMBERS.profiling, preset), deviceClass: "cpu" },
    sampling: column(NUMBERS.sampling, preset),
    health: { ...column(NUMBERS.health, preset), ...defaultPolicies() },
    augmentation: column(NUMBERS.augmentation, preset),
    seed: 1,
    labels: {},
    algorithm: { kind: AlgorithmKind.ALGORITHM_KIND_SSR, genotype: undefined },
  };
}
