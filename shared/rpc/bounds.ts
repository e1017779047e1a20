import {
  EXAMPLES,
  MAX_CLASS_LENGTH,
  MAX_DEVICE_CLASS_LENGTH,
  MAX_LABELS,
  MAX_LABEL_LENGTH,
  MAX_LICENSE_LENGTH,
  MAX_PATH_LENGTH,
  MAX_SEED,
  MAX_SUFFIX_LENGTH,
  MAX_TARGETS,
  MAX_TARGET_LENGTH,
  NUMBERS,
  snakeCase,
  type Bounds,
} from "../spec/bounds";
import {
  MAX_CANDIDATES,
  MAX_CHANNELS,
  MAX_CLASSES,
  MAX_DEPTH,
  MAX_DILATION,
  MAX_KINDS,
  MAX_OPERATIONS,
  MAX_PYRAMID_CHANNELS,
  MAX_SIDE,
  MAX_SPACE_CANDIDATES,
  STAGES,
} from "../space/validate";

/** Bounds of one field of a request. A repeated field or a map has `entries`; the others hold for each of its entries. */
export interface Bound {
  entries?: number;
  /** Entries in all lists of this field in one request. */
  inAll?: number;
  /** Characters (UTF-16 code units) of a string, or of each key and value of a map. */
  characters?: number;
  /** Length of bytes. */
  bytes?: number;
  number?: Bounds;
}

const text = (characters: number): Bound => ({ characters });
const whole = (min: number, max: number): Bound => ({ number: { integer: true, min, max } });
const real = (min: number, max: number, open?: "ends" | "max"): Bound => ({
  number: { integer: false, min, max, ...(open && { open }) },
});
const sequence = (min: number) => whole(min, Number.MAX_SAFE_INTEGER);
const list = (entries: number, each: Bound = {}): Bound => ({ entries, ...each });
const section = (fields: Record<string, Bounds>): Record<string, Bound> =>
  Object.fromEntries(Object.entries(fields).map(([name, number]) => [snakeCase(name), { number }]));

const searchId = text(64);
const ofSearch = { search_id: searchId };
const object = text(512);
const labels = list(MAX_LABELS, text(MAX_LABEL_LENGTH));
const sizes = {
  input_height: whole(1, MAX_SIDE),
  input_width: whole(1, MAX_SIDE),
  classes: whole(2, MAX_CLASSES),
  stem_channels: whole(4, MAX_CHANNELS),
  pyramid_channels: whole(0, MAX_PYRAMID_CHANNELS),
};
const lists = {
  stages: list(STAGES.most),
  dilations: list(MAX_CANDIDATES, whole(1, MAX_DILATION)),
  scales: list(2, whole(1, 2)),
  kinds: list(MAX_KINDS),
};

/**
 * The bounds of each string, number, list and map of each request, by message and field. The comments of the contract state the same
 * numbers. Lists and strings are bounded before a request is decoded. A field without a row is a message, a flag or an enum.
 */
export const BOUNDS: Readonly<Record<string, Readonly<Record<string, Bound>>>> = {
  HealthCheckRequest: { service: text(256) },

  StartSearchRequest: { request_id: text(64) },
  GetSearchRequest: ofSearch,
  ListSearchesRequest: { page_size: whole(0, 1_000_000), page_token: text(256), states: list(6), labels },
  ListParetoFrontsRequest: {
    search_ids: list(200, searchId),
    labels,
    dataset_sha256: text(64),
    dataset_path: text(MAX_PATH_LENGTH),
    device_class: text(63),
    device: text(256),
    input_height: whole(0, MAX_SIDE),
    input_width: whole(0, MAX_SIDE),
    batch_size: whole(0, 1_000_000),
    threads: whole(0, 1_000_000),
    limit: whole(0, 1_000_000),
  },
  WatchSearchRequest: { ...ofSearch, from_sequence: sequence(0) },
  PauseSearchRequest: ofSearch,
  ResumeSearchRequest: ofSearch,
  CancelSearchRequest: { ...ofSearch, reason: text(500) },
  DeleteSearchRequest: ofSearch,
  ListArtifactsRequest: ofSearch,
  DownloadArtifactRequest: { ...ofSearch, object },
  ListDeadLettersRequest: { page_size: whole(0, 200), from_sequence: sequence(0) },
  GetDeadLetterRequest: { sequence: sequence(1) },
  DropDeadLetterRequest: { sequence: sequence(1) },
  EvaluateArchitectureRequest: ofSearch,
  EvaluateNetworkRequest: {
    ...ofSearch,
    model: { bytes: 64_000_000 },
    seed: whole(0, MAX_SEED),
    input_height: whole(0, MAX_SIDE),
    input_width: whole(0, MAX_SIDE),
    scale: real(0, 1e6, "ends"),
    mean: list(3, real(-1e6, 1e6)),
    std: list(3, real(0, 1e6, "ends")),
    output: text(256),
  },
  ExportNetworkRequest: { ...ofSearch, input_height: whole(0, MAX_SIDE), input_width: whole(0, MAX_SIDE) },
  ProfileNetworkRequest: {
    ...{ ...ofSearch, object, batch_sizes: list(8, whole(1, 64)) },
    ...{ input_height: whole(0, MAX_SIDE), input_width: whole(0, MAX_SIDE) },
  },
  ProfileOperatorsRequest: { pyramid_channels: whole(0, MAX_PYRAMID_CHANNELS) },
  DecideRequest: { epoch: whole(1, 20000), epochs: whole(1, 10000) },
  SimulateScheduleRequest: { epochs: list(10000) },

  Architecture: { groups: { entries: MAX_SPACE_CANDIDATES, inAll: 150_000 } },
  HeadWidths: {
    joined: list(MAX_CANDIDATES, whole(1, MAX_CHANNELS)),
    pyramid: list(MAX_CANDIDATES, whole(0, MAX_PYRAMID_CHANNELS)),
    detail: list(MAX_CANDIDATES, whole(1, MAX_CHANNELS)),
  },
  Group: {
    id: text(64),
    alphas: list(MAX_OPERATIONS, real(-1e6, 1e6)),
    survivors: list(MAX_OPERATIONS, whole(0, MAX_OPERATIONS - 1)),
  },

  SearchSpace: { ...sizes, ...lists },
  SpaceSpec: { ...sizes, ...lists, classes: whole(0, MAX_CLASSES) },
  Stage: {
    channels: whole(1, MAX_CHANNELS),
    min_depth: whole(1, MAX_DEPTH),
    max_depth: whole(1, MAX_DEPTH),
    widths: list(MAX_CANDIDATES, whole(1, MAX_CHANNELS)),
    dropout: real(0, 1, "max"),
  },
  Genotype: {
    ...{ ...sizes, classes: whole(1, MAX_CLASSES), stages: list(STAGES.most) },
    ...{ joined_width: whole(1, MAX_CHANNELS), pyramid_width: whole(0, MAX_PYRAMID_CHANNELS) },
    detail_width: whole(1, MAX_CHANNELS),
  },
  GenotypeStage: { channels: whole(1, MAX_CHANNELS), blocks: list(MAX_DEPTH) },
  GenotypeBlock: {
    dilation: whole(1, MAX_DILATION),
    scale: whole(1, 2),
    middle_width: whole(1, MAX_CHANNELS),
    output_width: whole(1, MAX_CHANNELS),
  },

  SearchSpec: { preset: text(64), seed: whole(0, MAX_SEED), labels },
  // 0 stands in the complete spec of a data set that is not generated.
  DatasetSpec: {
    path: text(MAX_PATH_LENGTH),
    train_examples: whole(0, EXAMPLES.trainExamples.max),
    validation_examples: whole(0, EXAMPLES.validationExamples.max),
    classes: list(MAX_CLASSES, text(MAX_CLASS_LENGTH)),
    label_values: list(256, text(MAX_CLASS_LENGTH)),
    ignore_values: list(256, whole(0, 255)),
    image_suffix: text(MAX_SUFFIX_LENGTH),
    label_suffix: text(MAX_SUFFIX_LENGTH),
    train_list: text(MAX_PATH_LENGTH),
    validation_list: text(MAX_PATH_LENGTH),
    license: text(MAX_LICENSE_LENGTH),
  },
  SupernetTrainingSpec: section(NUMBERS.training),
  RegularizationSpec: section(NUMBERS.regularization),
  ShrinkingSpec: section(NUMBERS.shrinking),
  CostSpec: {
    ...section(NUMBERS.cost),
    device: text(MAX_DEVICE_CLASS_LENGTH),
    targets: list(MAX_TARGETS, text(MAX_TARGET_LENGTH)),
  },
  RetrainingSpec: section(NUMBERS.retraining),
  ProfilingSpec: { ...section(NUMBERS.profiling), device_class: text(MAX_DEVICE_CLASS_LENGTH) },
  SamplingSpec: section(NUMBERS.sampling),
  HealthSpec: section(NUMBERS.health),
  AugmentationSpec: section(NUMBERS.augmentation),
};

/**
 * Messages whose numbers are not checked here but with what relates them, so that one refusal names all faults: by resolve,
 * spaceViolations, genotypeViolations, completePolicy and profilingViolations. The same bounds hold there.
 */
export const CHECKED_AS_A_WHOLE: ReadonlySet<string> = new Set([
  "SearchSpec",
  "SearchSpace",
  "Genotype",
  "ShrinkingSpec",
  "ProfilingSpec",
]);

const KIB = 1024;
/** Bytes of a request of each method whose request holds architectures or a model. */
const LARGE: Readonly<Record<string, number>> = {
  "/lathe.v1.DiscretizationService/Discretize": 1024 * KIB,
  "/lathe.v1.DiscretizationService/EvaluateNetwork": 64 * 1024 * KIB,
  "/lathe.v1.ShrinkingService/Decide": 1024 * KIB,
  "/lathe.v1.ShrinkingService/SimulateSchedule": 8 * 1024 * KIB,
};

/** Bytes that a request of a method ("/lathe.v1.SearchService/GetSearch") may have. */
export function maxRequestBytes(path: string): number {
  return LARGE[path] ?? 64 * KIB;
}
