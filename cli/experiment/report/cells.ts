import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { candidateOf, type Candidate } from "../../../shared/comparison/candidate";
import { LatheError } from "../../../shared/process/errors";
import { DecidedBy, SearchResult } from "../../../shared/proto/lathe/v1/result";
import { searchOf } from "../../pareto/folders";
import { foldersWithResult, readFailure, readManifest, readResult, type PlannedCell } from "../folder";

/** The results of one cell. Results that its algorithm does not have are undefined, such as the gap without a supernet. */
export interface CellResults {
  /** First epoch after which every live group had one survivor. */
  convergedEpoch: number | undefined;
  candidatesLeft: number | undefined;
  /** All mIoUs are in percent. */
  supernetMiou: number | undefined;
  /** mIoU of the derived or selected network before retraining. */
  discreteMiou: number | undefined;
  retrainedMiou: number | undefined;
  /** Discretization gap in percentage points. */
  gap: number | undefined;
  params: number | undefined;
  macs: number | undefined;
  /** Cost of the network as a share of the cost of the largest network. */
  costRatio: number | undefined;
  /** (cost ratio - target) / target, in percent. */
  costMiss: number | undefined;
  latencyMs: number | undefined;
  /** Number of training images of the search. */
  trainingImages: number | undefined;
  searchSeconds: number | undefined;
  retrainingSeconds: number | undefined;
  totalSeconds: number | undefined;
}

export type ResultName = keyof CellResults;

/** mIoU of the supernet after an epoch of the search, in percent. */
interface EpochPoint {
  epoch: number;
  miou: number;
}

export interface CellRecord extends PlannedCell {
  state: "finished" | "failed" | "missing";
  /** Error message of a failed cell. */
  message?: string;
  results?: CellResults;
  epochs: EpochPoint[];
}

/** The cells of an experiment in the order of its grid, with the content of their folders. Throws what manifestOf throws. */
export function readCells(folder: string): CellRecord[] {
  return manifestOf(folder).cells.map((cell): CellRecord => {
    const result = readResult(folder, cell.name);
    if (result !== undefined)
      return { ...cell, state: "finished", results: resultsOf(result), epochs: readEpochs(join(folder, cell.name)) };
    const failure = readFailure(folder, cell.name);
    if (failure !== undefined) return { ...cell, state: "failed", message: failure.message, epochs: [] };
    return { ...cell, state: "missing", epochs: [] };
  });
}

/** The networks of the finished cells that can be compared by latency, each named as its cell is. Throws what manifestOf throws. */
export function readCandidates(folder: string): Candidate[] {
  return manifestOf(folder).cells.flatMap(({ name }) => {
    const result = readResult(folder, name);
    if (result === undefined) return [];
    const found = candidateOf({ ...searchOf(result, name), name });
    return "candidate" in found ? [found.candidate] : [];
  });
}

/** FAILED_PRECONDITION if `folder` is not an experiment folder. */
export function manifestOf(folder: string): { name: string; cells: PlannedCell[] } {
  const manifest = readManifest(folder);
  if (manifest) return manifest;
  throw new LatheError(
    "FAILED_PRECONDITION",
    `${folder} is not an experiment folder (experiment.json is missing); "lathe experiment run" creates one`,
    { reason: "NO_EXPERIMENT" },
  );
}

/** Folders with a result that are not in the grid (any more). */
export function strangers(folder: string): string[] {
  const cells = new Set(manifestOf(folder).cells.map(({ name }) => name));
  return foldersWithResult(folder).filter((name) => !cells.has(name));
}

const shrunk: readonly DecidedBy[] = [DecidedBy.DECIDED_BY_SHRINKING, DecidedBy.DECIDED_BY_ARGMAX];

/** The results of a result.json. */
function resultsOf(json: Record<string, unknown>): CellResults {
  const result = SearchResult.fromJSON(json);
  const { figures, latency, costRatio, costTarget, target } = result;
  // Only these two derive a network from a supernet.
  const ofSupernet = (value: number) => (shrunk.includes(result.decidedBy) ? value : undefined);
  const retrained = result.retrainedBestEpoch > 0 || result.retrainingSeconds > 0;
  return {
    convergedEpoch: ofSupernet(result.convergedEpoch) || undefined,
    candidatesLeft: ofSupernet(result.candidatesLeft),
    supernetMiou: ofSupernet(100 * result.supernetMiou),
    // result.json has this key for every search, even if the value is 0.
    discreteMiou: "discreteMiou" in json ? 100 * result.discreteMiou : undefined,
    retrainedMiou: retrained ? 100 * result.retrainedMiou : undefined,
    gap: ofSupernet(100 * result.discretizationGap),
    params: figures?.params,
    macs: figures?.macs,
    costRatio: costRatio || undefined,
    costMiss: target ? missOf(target.measuredSeconds, target.targetSeconds) : missOf(costRatio, costTarget),
    latencyMs: latency && 1000 * latency.p50Seconds,
    trainingImages: typeof json.trainingImages === "number" ? json.trainingImages : undefined,
    searchSeconds: result.searchSeconds || undefined,
    retrainingSeconds: retrained ? result.retrainingSeconds : undefined,
    totalSeconds: result.searchSeconds + result.retrainingSeconds || undefined,
  };
}

/** The search epochs of an epochs.csv; none if the file is missing. */
function readEpochs(folder: string): EpochPoint[] {
  const file = join(folder, "epochs.csv");
  if (!existsSync(file)) return [];
  const [head = "", ...rows] = readFileSync(file, "utf8").trim().split("\n");
  const columns = head.split(",");
  const [phase, epoch, miou] = ["phase", "epoch", "validation_miou"].map((name) => columns.indexOf(name));
  return rows.flatMap((row) => {
    const cells = row.split(",");
    if (cells[phase!] !== "search" || !cells[miou!]) return [];
    return [{ epoch: Number(cells[epoch!]), miou: 100 * Number(cells[miou!]) }];
  });
}

/** Deviation from a target in percent of it; undefined where either is unknown. */
const missOf = (found: number, target: number): number | undefined =>
  found && target ? (100 * (found - target)) / target : undefined;
