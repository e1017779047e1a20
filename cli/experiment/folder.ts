import { randomBytes } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { LatheError } from "../../shared/process/errors";

/** The content of experiment.json: enough to report cells that have not run yet. */
interface Manifest {
  name: string;
  /** Id of this folder, which makes its request ids unique. */
  id: string;
  cells: PlannedCell[];
}

/** The values of a cell on all axes, with defaults filled in. */
export interface PlannedCell {
  name: string;
  algorithm: string;
  variant?: string;
  target: number;
  seed: number;
}

/** The last failed search of a cell. */
export interface Failure {
  search: string;
  /** Number of failed searches of this cell. */
  attempts: number;
  message: string;
}

const manifestFile = "experiment.json";
const failureFile = "failed.json";
const resultFile = "result.json";

const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;

/** The content of a JSON file; undefined if it is missing, or cut off by a crash or a full disk. */
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

/** Writes a JSON file atomically. */
function writeJson(path: string, value: unknown): void {
  writeFileSync(`${path}.part`, json(value));
  renameSync(`${path}.part`, path);
}

/** The manifest of a folder; undefined if it has none. */
export const readManifest = (folder: string): Manifest | undefined =>
  readJson(join(folder, manifestFile)) as Manifest | undefined;

export const writeManifest = (folder: string, manifest: Manifest): void =>
  writeJson(join(folder, manifestFile), manifest);

/** The result.json of a cell; undefined until it exists. */
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

/** The sorted names of the subfolders with a result. */
export const foldersWithResult = (folder: string): string[] =>
  readdirSync(folder, { withFileTypes: true })
    .filter((one) => one.isDirectory() && existsSync(join(folder, one.name, resultFile)))
    .map(({ name }) => name)
    .sort();

/** Removes a folder that an experiment has not begun to fill. */
export function dropIfEmpty(folder: string): void {
  try {
    rmdirSync(folder);
  } catch {
    // It holds cells.
  }
}

/** Creates or reopens the folder of an experiment. FAILED_PRECONDITION if it holds other files or cannot be used. */
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
