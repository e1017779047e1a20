import { readFileSync, statSync } from "node:fs";
import { resolve as resolvePath } from "node:path";
import { LatheError } from "../../shared/process/errors";
import type { FieldViolation } from "../../shared/process/errors";
import type { SearchSpace } from "../../shared/proto/lathe/v1/space";
import { DatasetKind, SearchSpec } from "../../shared/proto/lathe/v1/spec";
import { parseSpec } from "../../shared/spec/parse";
import { isPreset, presetSpec } from "../../shared/spec/presets";
import { resolve, type ResolvedSpec } from "../../shared/spec/resolve";

/** What the command line says about a spec; each is laid over the file. */
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
  /** To be sent: what was asked for, with an absolute data path. */
  spec: SearchSpec;
  /** As the service will fill it in. */
  resolved: ResolvedSpec;
  space: SearchSpace;
}

/** The folder that relative paths of the user refer to: npm runs its scripts in the package's. */
export function userFolder(): string {
  return process.env.INIT_CWD ?? process.cwd();
}

const kinds: Record<string, DatasetKind> = {
  streets: DatasetKind.DATASET_KIND_STREETS,
  camvid: DatasetKind.DATASET_KIND_CAMVID,
  cityscapes: DatasetKind.DATASET_KIND_CITYSCAPES,
  folder: DatasetKind.DATASET_KIND_FOLDER,
};
export const datasetNames = Object.keys(kinds);

export const datasetName = (kind: DatasetKind): string =>
  datasetNames.find((name) => kinds[name] === kind) ?? String(kind);

/** The spec of a file (if any) under the flags, its data path made absolute. Only what each flag alone can get wrong is refused here. */
export function readSpec(flags: SpecFlags): SearchSpec {
  const spec =
    flags.file === undefined ? SearchSpec.fromPartial({}) : parseSpec(readText(flags.file, "spec"), flags.file);
  return underFlags(spec, flags);
}

/** A spec under the flags, its data path made absolute; changes the spec that it is given, and returns it. */
export function underFlags(spec: SearchSpec, flags: Omit<SpecFlags, "file">): SearchSpec {
  if (flags.preset !== undefined) spec.preset = flags.preset;
  if (flags.dataset !== undefined || flags.data !== undefined) {
    const kind = flags.dataset === undefined ? undefined : kinds[flags.dataset];
    if (flags.dataset !== undefined && kind === undefined)
      throw new LatheError(
        "INVALID_ARGUMENT",
        `--dataset is "${flags.dataset}", must be one of ${datasetNames.join(", ")}`,
      );
    spec.dataset = {
      kind: kind ?? spec.dataset?.kind ?? DatasetKind.DATASET_KIND_UNSPECIFIED,
      ...(kind === undefined || kind === spec.dataset?.kind ? spec.dataset : {}),
      ...(kind !== undefined && { kind }),
      ...(flags.data !== undefined && { path: flags.data }),
    };
  }
  if (spec.dataset?.path) spec.dataset.path = resolvePath(userFolder(), spec.dataset.path);
  if (flags.seed !== undefined) spec.seed = flags.seed;
  if (flags.epochs !== undefined) spec.training = { ...spec.training, epochs: flags.epochs };
  if (flags.retrainingEpochs !== undefined) spec.retraining = { ...spec.retraining, epochs: flags.retrainingEpochs };
  spec.labels = { ...spec.labels, ...flags.label, ...(flags.name !== undefined && { name: flags.name }) };
  return spec;
}

/** The text of a file of the user; `what` names it in the error. */
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

/** Checks everything that can be known before a process is started: every field of the spec, and that the data folder is there. */
export function requestSpec(flags: SpecFlags): RequestedSpec {
  if (flags.file === undefined && flags.preset === undefined)
    throw new LatheError("INVALID_ARGUMENT", "there is no spec: give -f spec.yaml or --preset tiny|small|paper");
  return requested(readSpec(flags));
}

/** The same for a spec that has been put together otherwise. */
export function requested(spec: SearchSpec): RequestedSpec {
  const { spec: resolved, space } = resolve(spec);
  const { kind, path } = resolved.dataset;
  if (kind !== DatasetKind.DATASET_KIND_STREETS) {
    const fault = folderFault(path);
    if (fault !== undefined) {
      const violations: FieldViolation[] = [{ field: "dataset.path", description: `is "${path}", ${fault}` }];
      throw new LatheError("INVALID_ARGUMENT", `the ${datasetName(kind)} data set cannot be read`, {
        reason: "DATASET_MISSING",
        violations,
      });
    }
  }
  return { spec, resolved, space };
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

/** The space of a spec, for which no data is needed. */
export function describedSpec(flags: SpecFlags): { resolved: ResolvedSpec; space: SearchSpace } {
  if (flags.file === undefined && flags.preset === undefined)
    throw new LatheError("INVALID_ARGUMENT", "there is no space: give --preset tiny|small|paper or -f spec.yaml");
  const spec = readSpec(flags);
  // An unknown preset has no data set; resolve names the preset alone then.
  const kind =
    spec.dataset?.kind ||
    (isPreset(spec.preset) ? presetSpec(spec.preset).dataset.kind : DatasetKind.DATASET_KIND_STREETS);
  // The path is required of a search, and does not matter to its space.
  if (kind !== DatasetKind.DATASET_KIND_STREETS && !spec.dataset?.path)
    spec.dataset = { ...spec.dataset, kind, path: userFolder() };
  const { spec: resolved, space } = resolve(spec);
  return { resolved, space };
}
