import { createHash } from "node:crypto";
import { CostMetric, type Genotype, type SearchSpace } from "../proto/lathe/v1/space";
import { BudgetPolicy, DatasetKind, SearchSpec, type DatasetSpec, type SpaceSpec } from "../proto/lathe/v1/spec";
import { spaceOf } from "../space/genotype";
import { collector, refuse, spaceViolations } from "../space/validate";
import { asDarts, checkGiven, checkSampling, isSampling, resolveAlgorithm } from "./algorithm";
import {
  EXAMPLES,
  MAX_LABELS,
  MAX_LABEL_LENGTH,
  MAX_LICENSE_LENGTH,
  MAX_PATH_LENGTH,
  MAX_SEED,
  NUMBERS,
  PRESETS,
  clip,
  isOneOf,
  numberFault,
  type Fault,
  type NumberField,
  enumWord,
  snakeCase,
} from "./bounds";
import { DEVICE_CLASS_RULE, isDeviceClass } from "./deviceClass";
import { checkFolder, refuseFolderFields } from "./folder";
import { resolvePolicies } from "./health";
import { isPreset, presetSpec, type ResolvedSpec } from "./presets";
import { checkShare, presetCost, resolveCost, targetSeconds } from "./target";

export type { ResolvedSpec } from "./presets";

/** Number of classes of each data set that has a fixed one, without the ignore label. For a folder, the client sets it. */
export const DATASET_CLASSES: ReadonlyMap<DatasetKind, number> = new Map([
  // The classes of shared/data/streets/classes.ts.
  [DatasetKind.DATASET_KIND_STREETS, 11],
  [DatasetKind.DATASET_KIND_CAMVID, 11],
  [DatasetKind.DATASET_KIND_CITYSCAPES, 19],
]);

/** The preset's values of a section, overridden by the set fields. An empty list counts as not set. */
function overlay<T extends object>(defaults: T, set: { [K in keyof T]?: T[K] | undefined } | undefined): T {
  // Fields without a default do not belong to this section.
  const given = Object.entries(set ?? {}).filter(
    ([key, value]) => key in defaults && value !== undefined && !(Array.isArray(value) && value.length === 0),
  );
  return { ...defaults, ...(Object.fromEntries(given) as Partial<T>) };
}

/**
 * Fills in a spec from its preset and checks every field. Throws INVALID_ARGUMENT (INVALID_SPEC) with all violations at once, under proto
 * paths such as "training.batch_size" or "space.stages[0].widths[1]". Resolving a resolved spec changes nothing. `isNew`: a search has yet to
 * begin, and is refused for a share that no network meets. Earlier versions accepted it, so that of a stored search is not.
 */
export function resolve(
  spec: SearchSpec,
  { isNew = false }: { isNew?: boolean } = {},
): { spec: ResolvedSpec; space: SearchSpace } {
  const { violations, fault, between } = collector("");
  // Without a valid preset the other fields are still checked: against preset paper, with a data set that needs no path.
  const defaults = presetSpec(isPreset(spec.preset) ? spec.preset : "paper");
  if (!isPreset(spec.preset)) {
    fault("preset", `is "${clip(spec.preset)}", must be one of ${PRESETS.join(", ")}`);
    defaults.dataset.kind = DatasetKind.DATASET_KIND_STREETS;
  }

  const dataset = resolveDataset(defaults.dataset, spec.dataset, fault);
  const { algorithm, given } = resolveAlgorithm(defaults.algorithm, spec.algorithm, fault);
  const classes = resolveClasses(dataset, spec.space, given, fault);
  const space = { ...overlay(given ? spaceOf(given) : defaults.space, spec.space), classes };
  const known = space.classes !== 0;
  const inSpace = spaceViolations(known ? space : { ...space, classes: 2 }, "space.");
  violations.push(...inSpace);

  const shrinking = overlay(defaults.shrinking, spec.shrinking);
  shrinking.atBudgetEnd ||= defaults.shrinking.atBudgetEnd;
  const costs = presetCost(defaults, spec, space);
  const cost = resolveCost({ ...overlay(costs, spec.cost), metric: costs.metric }, spec, fault);
  const resolved: ResolvedSpec = {
    preset: spec.preset,
    dataset,
    space,
    training: overlay(defaults.training, spec.training),
    regularization: overlay(defaults.regularization, spec.regularization),
    shrinking,
    cost,
    retraining: overlay({ ...defaults.retraining, ...(given && givenRetraining(given)) }, spec.retraining),
    profiling: overlay(defaults.profiling, spec.profiling),
    sampling: overlay(defaults.sampling, spec.sampling),
    health: overlay(defaults.health, spec.health),
    augmentation: overlay(defaults.augmentation, spec.augmentation),
    seed: spec.seed ?? defaults.seed,
    labels: { ...spec.labels },
    algorithm,
  };
  const device = isDeviceClass(cost.device) ? cost.device : defaults.profiling.deviceClass;
  resolved.profiling.deviceClass = spec.profiling?.deviceClass || device;
  resolvePolicies(resolved.health, fault);
  asDarts(resolved);

  // Beside a latency there is no share to check.
  const shares =
    targetSeconds(cost) === undefined ? resolved : { ...resolved, cost: { ...cost, target: defaults.cost.target } };
  for (const [section, fields] of Object.entries(NUMBERS))
    checkNumbers(section, fields, shares[section as keyof typeof NUMBERS], fault);
  checkAcrossFields(resolved, fault);
  if (isSampling(resolved)) checkSampling(resolved, fault);
  if (known && inSpace.length === 0) {
    if (isNew || isSampling(resolved)) checkShare(resolved, space, fault);
    if (given) checkGiven(given, space, resolved.retraining, fault);
    else checkHead(resolved, fault);
  }
  between("seed", resolved.seed, 0, MAX_SEED);
  checkNames(resolved, fault);
  refuse("INVALID_SPEC", "spec", violations);
  return { spec: resolved, space: { ...space, stages: structuredClone(space.stages) } };
}

function checkNumbers(section: string, fields: Record<string, NumberField>, values: object, fault: Fault): void {
  for (const [name, bounds] of Object.entries(fields)) {
    const description = numberFault((values as Record<string, number>)[name] ?? Number.NaN, bounds);
    if (description !== undefined) fault(`${section}.${snakeCase(name)}`, description);
  }
}

type Dataset = ResolvedSpec["dataset"];

/**
 * Fills in and checks a data set that is not part of a spec; the number of scenes is that of preset small. INVALID_ARGUMENT as resolve() throws
 * it.
 */
export function resolveDatasetAlone(dataset: DatasetSpec): Dataset {
  const { violations, fault } = collector("");
  if (dataset.kind === DatasetKind.DATASET_KIND_UNSPECIFIED)
    fault("dataset.kind", "is not set, must be one of streets, camvid, cityscapes, folder");
  const resolved = resolveDataset(presetSpec("small").dataset, dataset, fault);
  refuse("INVALID_SPEC", "data set", violations);
  return resolved;
}

function resolveDataset(defaults: Dataset, set: DatasetSpec | undefined, fault: Fault): Dataset {
  const dataset = overlay(defaults, set);
  dataset.kind ||= defaults.kind;
  if (!isOneOf(DatasetKind, dataset.kind))
    fault("dataset.kind", `is ${dataset.kind}, must be one of streets, camvid, cityscapes, folder`);
  if (dataset.kind === DatasetKind.DATASET_KIND_STREETS) {
    if (dataset.path !== "")
      fault("dataset.path", `is "${clip(dataset.path)}", but streets are generated; set dataset.kind to read a folder`);
    checkNumbers("dataset", EXAMPLES, dataset, fault);
    refuseFolderFields(dataset, "streets", fault);
    if (dataset.license !== "") fault("dataset.license", "is set, but streets are generated; leave it out");
    return dataset;
  }
  if (dataset.license.length > MAX_LICENSE_LENGTH || /[\r\n\0]/.test(dataset.license))
    fault(
      "dataset.license",
      `is "${clip(dataset.license)}", must be one line of at most ${MAX_LICENSE_LENGTH} characters`,
    );
  if (dataset.kind === DatasetKind.DATASET_KIND_FOLDER) checkFolder(dataset, fault);
  else refuseFolderFields(dataset, shortKind(dataset.kind), fault);
  if (dataset.path === "")
    fault("dataset.path", `is not set, must be the folder of the ${shortKind(dataset.kind)} data set`);
  if (dataset.path.length > MAX_PATH_LENGTH || dataset.path.includes("\0"))
    fault("dataset.path", `has ${dataset.path.length} characters, must be a path of at most ${MAX_PATH_LENGTH}`);
  // 0 is allowed, because this function itself writes it: all files are used.
  for (const name of ["trainExamples", "validationExamples"] as const)
    if ((set?.[name] ?? 0) !== 0)
      fault(`dataset.${snakeCase(name)}`, `is ${set?.[name]}, but only streets are generated; leave it out`);
  return { ...dataset, trainExamples: 0, validationExamples: 0 };
}

/** "camvid" for DATASET_KIND_CAMVID. */
function shortKind(kind: DatasetKind): string {
  return enumWord(DatasetKind, "DATASET_KIND_", kind);
}

/** Number of classes; 0 if it is unknown because of a fault. For a folder, a given network determines it too. */
function resolveClasses(
  { kind, classes: named }: Dataset,
  set: SpaceSpec | undefined,
  given: Genotype | undefined,
  fault: Fault,
): number {
  const own = DATASET_CLASSES.get(kind);
  const asked = set?.classes || (own === undefined ? named.length || (given?.classes ?? 0) : 0);
  if (own !== undefined && asked !== 0 && asked !== own)
    fault("space.classes", `is ${asked}, but ${shortKind(kind)} has ${own} classes; leave it out`);
  if (named.length > 0 && set?.classes && set.classes !== named.length)
    fault("space.classes", `is ${set.classes}, but dataset.classes names ${named.length}; leave it out`);
  if (own === undefined && asked === 0 && kind === DatasetKind.DATASET_KIND_FOLDER)
    fault(
      "space.classes",
      'is not set, must be the number of classes of the folder; dataset.classes may name them instead, which "lathe init" proposes',
    );
  return own ?? asked;
}

/** A given network has no search before it, whose weights it could inherit, and the head that it was found with. */
const givenRetraining = ({ pyramidChannels }: Genotype) => ({
  inheritWeights: false,
  ...(pyramidChannels && { pyramidChannels }),
});

/** Retraining must have the pyramid that the search had. */
function checkHead({ space, retraining }: ResolvedSpec, fault: Fault): void {
  const { pyramidChannels: searched } = space;
  const { pyramidChannels: retrained, epochs } = retraining;
  if (searched === 0 || epochs === 0 || searched === retrained) return;
  fault(
    "space.pyramid_channels",
    `is ${searched}, must be 0 (the search head) or retraining.pyramid_channels, ${retrained}`,
  );
}

function checkAcrossFields({ training, shrinking, cost, retraining, augmentation }: ResolvedSpec, fault: Fault): void {
  if (training.warmupEpochs >= training.epochs)
    fault("training.warmup_epochs", `is ${training.warmupEpochs}, must be below training.epochs, ${training.epochs}`);
  if (shrinking.firstEpoch > training.epochs)
    fault("shrinking.first_epoch", `is ${shrinking.firstEpoch}, must be at most training.epochs, ${training.epochs}`);
  const { rateWarmupEpochs: rising, epochs } = retraining;
  if (rising > epochs && epochs > 0)
    fault("retraining.rate_warmup_epochs", `is ${rising}, must be at most retraining.epochs, ${epochs}`);
  const { scaleMin, scaleMax } = augmentation;
  if (scaleMin > scaleMax)
    fault(
      "augmentation.scale_min",
      `is ${scaleMin}, must be at most augmentation.scale_max, ${scaleMax}; where the spec has none, it is the preset's`,
    );
  if (!isOneOf(BudgetPolicy, shrinking.atBudgetEnd))
    fault("shrinking.at_budget_end", `is ${shrinking.atBudgetEnd}, must be one of argmax, fail, extend`);
  if (!isOneOf(CostMetric, cost.metric)) fault("cost.metric", `is ${cost.metric}, must be one of macs, latency`);
}

function checkNames({ labels, profiling }: ResolvedSpec, fault: Fault): void {
  const device = profiling.deviceClass;
  if (!isDeviceClass(device)) fault("profiling.device_class", `is "${clip(device)}", must be ${DEVICE_CLASS_RULE}`);
  const entries = Object.entries(labels);
  if (entries.length > MAX_LABELS) fault("labels", `has ${entries.length} entries, must have at most ${MAX_LABELS}`);
  for (const [key, value] of entries.slice(0, MAX_LABELS)) {
    if (key.length === 0 || key.length > MAX_LABEL_LENGTH)
      fault(`labels["${clip(key)}"]`, `has a key of ${key.length} characters, must have 1 to ${MAX_LABEL_LENGTH}`);
    if (value.length > MAX_LABEL_LENGTH)
      fault(`labels["${clip(key)}"]`, `has ${value.length} characters, must have at most ${MAX_LABEL_LENGTH}`);
  }
}

/** SHA-256 (hexadecimal) of a resolved spec as canonical JSON: proto3 JSON with sorted keys. */
export function specDigest(spec: SearchSpec): string {
  return createHash("sha256")
    .update(JSON.stringify(sorted(SearchSpec.toJSON(spec))))
    .digest("hex");
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([key, entry]) => [key, sorted(entry)]));
}
