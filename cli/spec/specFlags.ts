import { readFileSync, statSync } from "node:fs";
import { resolve as resolvePath } from "node:path";
import { LatheError } from "../../shared/process/errors";
import type { SearchSpace } from "../../shared/proto/lathe/v1/space";
import { DatasetKind, DatasetSpec, SearchSpec, SpaceSpec } from "../../shared/proto/lathe/v1/spec";
import { parseSpec } from "../../shared/spec/parse";
import { isPreset, presetSpec } from "../../shared/spec/presets";
import { resolve, type ResolvedSpec } from "../../shared/spec/resolve";
import { userFolder } from "../userFolder";
import { folderClasses } from "./dataFolder";
import { datasetKindOf, datasetName, datasetNames } from "./datasetNames";

/** The flags of a spec. Each overrides the same field of the file. */
export interface SpecFlags {
  file?: string;
  preset?: string;
  dataset?: string;
  data?: string;
  seed?: number;
  epochs?: number;
  retrainingEpochs?: number;
  name?: string;
  label?: Record<string, string>;
}

export interface RequestedSpec {
  /** The spec to send: only what the user set, with an absolute data path. */
  spec: SearchSpec;
  /** The spec with all defaults filled in, as the service resolves it. */
  resolved: ResolvedSpec;
  space: SearchSpace;
}

/** The spec of a file (if any), overridden by the flags, with an absolute data path. Only the values of single flags are checked here. */
export function readSpec(flags: SpecFlags): SearchSpec {
  const spec =
    flags.file === undefined ? SearchSpec.fromPartial({}) : parseSpec(readText(flags.file, "spec"), flags.file);
  return underFlags(spec, flags);
}

/** Overrides a spec by the flags and makes its data path absolute; changes and returns the given spec. */
export function underFlags(spec: SearchSpec, flags: Omit<SpecFlags, "file">): SearchSpec {
  if (flags.preset !== undefined) spec.preset = flags.preset;
  if (flags.dataset !== undefined || flags.data !== undefined) {
    const kind = flags.dataset === undefined ? undefined : datasetKindOf(flags.dataset);
    if (flags.dataset !== undefined && kind === undefined)
      throw new LatheError(
        "INVALID_ARGUMENT",
        `--dataset is "${flags.dataset}", must be one of ${datasetNames.join(", ")}`,
      );
    spec.dataset = DatasetSpec.fromPartial({
      kind: kind ?? spec.dataset?.kind ?? DatasetKind.DATASET_KIND_UNSPECIFIED,
      ...(kind === undefined || kind === spec.dataset?.kind ? spec.dataset : {}),
      ...(kind !== undefined && { kind }),
      ...(flags.data !== undefined && { path: flags.data }),
    });
  }
  if (spec.dataset?.path) spec.dataset.path = resolvePath(userFolder(), spec.dataset.path);
  if (flags.seed !== undefined) spec.seed = flags.seed;
  if (flags.epochs !== undefined) spec.training = { ...spec.training, epochs: flags.epochs };
  if (flags.retrainingEpochs !== undefined) spec.retraining = { ...spec.retraining, epochs: flags.retrainingEpochs };
  spec.labels = { ...spec.labels, ...flags.label, ...(flags.name !== undefined && { name: flags.name }) };
  return spec;
}

/** Reads a text file of the user; `what` names the file in the error. */
export function readText(file: string, what: string): string {
  const path = resolvePath(userFolder(), file);
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new LatheError("INVALID_ARGUMENT", `${what} ${path} cannot be read: ${(error as Error).message}`, {
      reason: "FILE_UNREADABLE",
      cause: error,
    });
  }
}

/**
 * Checks all that can be checked before a process starts: every field of the spec and that the data folder exists. Without a number of
 * classes, that of the folder's list is taken.
 */
export function requestSpec(flags: SpecFlags): RequestedSpec {
  if (flags.file === undefined && flags.preset === undefined)
    throw new LatheError(
      "INVALID_ARGUMENT",
      "no spec is given: use -f spec.yaml or --preset tiny|small|medium|large|paper",
    );
  return requested(readSpec(flags));
}

/** The same checks for a spec that was not read from flags; `isNew` as resolve() takes it. */
export function requested(spec: SearchSpec, isNew = true): RequestedSpec {
  countClasses(spec);
  const { spec: resolved, space } = resolve(spec, { isNew });
  const { kind, path } = resolved.dataset;
  const fault = kind === DatasetKind.DATASET_KIND_STREETS ? undefined : folderFault(path);
  if (fault === undefined) return { spec, resolved, space };
  throw new LatheError("INVALID_ARGUMENT", `the ${datasetName(kind)} data set cannot be read`, {
    reason: "DATASET_MISSING",
    violations: [{ field: "dataset.path", description: `is "${path}", ${fault}` }],
  });
}

/** Sets the number of classes of a data folder to that of its list of classes, unless the spec has a number or a network. */
function countClasses(spec: SearchSpec): void {
  if (datasetKind(spec) !== DatasetKind.DATASET_KIND_FOLDER || !spec.dataset?.path) return;
  if (spec.space?.classes || spec.algorithm?.genotype) return;
  const classes = folderClasses(spec.dataset, (path) => readText(path, "list"))?.length;
  // resolve() says that the number is missing, and requested() that the folder is.
  if (classes !== undefined) spec.space = SpaceSpec.fromPartial({ ...spec.space, classes });
}

function folderFault(path: string): string | undefined {
  try {
    return statSync(path).isDirectory() ? undefined : "which is not a folder; give the data set's folder with --data";
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const why = code === "ENOENT" ? "which does not exist" : `which cannot be opened (${code})`;
    return `${why}; give the data set's folder with --data`;
  }
}

/** The resolved spec and its space; the data folder need not exist. */
export function describedSpec(flags: SpecFlags): { resolved: ResolvedSpec; space: SearchSpace } {
  if (flags.file === undefined && flags.preset === undefined)
    throw new LatheError(
      "INVALID_ARGUMENT",
      "no search space is given: use --preset tiny|small|medium|large|paper or -f spec.yaml",
    );
  const spec = readSpec(flags);
  const kind = datasetKind(spec);
  // A spec must have a path, but the space does not depend on it.
  if (kind && kind !== DatasetKind.DATASET_KIND_STREETS && !spec.dataset?.path)
    spec.dataset = DatasetSpec.fromPartial({ ...spec.dataset, kind, path: userFolder() });
  countClasses(spec);
  const { spec: resolved, space } = resolve(spec, { isNew: true });
  return { resolved, space };
}

/** The kind of a spec's data set; UNSPECIFIED for an unknown preset, which resolve() reports. */
export function datasetKind({ dataset, preset }: SearchSpec): DatasetKind {
  return dataset?.kind || (isPreset(preset) ? presetSpec(preset).dataset.kind : DatasetKind.DATASET_KIND_UNSPECIFIED);
}
