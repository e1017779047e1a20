import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { LatheError } from "../../shared/process/errors";

/** What the folder of an experiment says about it: enough to report on cells of which nothing else is there yet. */
interface Manifest {
  name: string;
  /** Of this folder; keeps request ids of two folders apart. */
  id: string;
  cells: PlannedCell[];
}

/** Where a cell stands on the axes, defaults filled in. */
export interface PlannedCell {
  name: string;
  algorithm: string;
  variant?: string;
  target: number;
  seed: number;
}

/** Why the last search of a cell did not succeed. */
export interface Failure {
  search: string;
  /** How many searches of this cell have failed. */
  attempts: number;
  message: string;
}

const manifestFile = "experiment.json";
const failureFile = "failed.json";
const resultFile = "result.json";

const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;

/** What a JSON file holds; undefined where it is not there, or a crash or a full disk has cut it off. */
function readJson(path: string): unknown {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if (["ENOENT", "ENOTDIR"].includes((error as NodeJS.ErrnoException).code ?? "")) return undefined;
    throw error;
  }
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

/** There whole or not at all. */
function writeJson(path: string, value: unknown): void {
  writeFileSync(`${path}.part`, json(value));
  renameSync(`${path}.part`, path);
}

/** The manifest of a folder; undefined where it has none. */
export const readManifest = (folder: string): Manifest | undefined =>
  readJson(join(folder, manifestFile)) as Manifest | undefined;

export const writeManifest = (folder: string, manifest: Manifest): void =>
  writeJson(join(folder, manifestFile), manifest);

/** result.json of a cell; undefined while it has none. */
export const readResult = (folder: string, cell: string): Record<string, unknown> | undefined =>
  readJson(join(folder, cell, resultFile)) as Record<string, unknown> | undefined;

export const readFailure = (folder: string, cell: string): Failure | undefined =>
  readJson(join(folder, cell, failureFile)) as Failure | undefined;

export function writeFailure(folder: string, cell: string, failure: Failure): void {
  mkdirSync(join(folder, cell), { recursive: true });
  writeJson(join(folder, cell, failureFile), failure);
}

export function forgetFailure(folder: string, cell: string): void {
  rmSync(join(folder, cell, failureFile), { force: true });
}

/** Names of the folders that hold a result, sorted. */
export const foldersWithResult = (folder: string): string[] =>
  readdirSync(folder, { withFileTypes: true })
    .filter((one) => one.isDirectory() && existsSync(join(folder, one.name, resultFile)))
    .map(({ name }) => name)
    .sort();

/** Takes a folder for an experiment, or takes it up again. FAILED_PRECONDITION where it holds something else, or cannot be used. */
export function takeExperimentFolder(folder: string, name: string, cells: PlannedCell[]): Manifest {
  const refused = (why: string, cause?: unknown) =>
    new LatheError("FAILED_PRECONDITION", `experiment folder ${folder} ${why}: give another one with --out`, {
      reason: "OUT_UNUSABLE",
      cause,
    });
  try {
    mkdirSync(folder, { recursive: true });
    const known = readManifest(folder);
    if (known === undefined && readdirSync(folder).length > 0) throw refused("holds files of another program");
    if (known !== undefined && known.name !== name) throw refused(`belongs to the experiment "${known.name}"`);
    return { name, id: known?.id ?? randomBytes(8).toString("hex"), cells };
  } catch (error) {
    if (error instanceof LatheError) throw error;
    throw refused(`cannot be used (${(error as Error).message})`, error);
  }
}
