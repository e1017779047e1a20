import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { LatheError } from "../../shared/process/errors";
import { SearchState, type Search } from "../../shared/proto/lathe/v1/search";
import { outcomeError } from "../exit";
import { downloadArtifacts } from "../search/download";
import type { SearchApi } from "../search/follow";
import { hasKept } from "../search/kept";
import { writeResultFolder } from "../search/resultFolder";
import { recordSearch, type StatusOutput } from "../search/ownStack";
import { forgetFailure, writeFailure } from "./folder";
import type { OpenCell } from "./resume";

interface CellRun {
  folder: string;
  output: StatusOutput;
  signal: AbortSignal;
  /** Cells that run at a time. */
  atOnce: number;
  /** Whether a search starts although no worker serves its device class, and waits for one. */
  wait: boolean;
  /** Called when a cell has a result. */
  onResult: (cell: string, search: Search, files: readonly string[]) => void;
}

/**
 * Runs cells, each into its own folder, in their order and `atOnce` at a time. A failed or cancelled search is recorded; any other error ends
 * the run, with all cells that run meanwhile.
 */
export async function runCells(api: SearchApi, cells: readonly OpenCell[], run: CellRun): Promise<void> {
  const waiting = [...cells.entries()];
  const ended = new AbortController();
  const signal = AbortSignal.any([run.signal, ended.signal]);
  const lane = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const [index, cell] = next;
      run.output.say(`cell ${cell.name} (${index + 1} of ${cells.length})`);
      const { spec, requestId } = cell;
      const { search } = await api.startSearch({ spec, requestId, waitForDevice: run.wait }, { signal });
      if (!search) throw new LatheError("INTERNAL", "StartSearch answered without the search that it started");
      await runCell(api, search.id, cell, { ...run, signal });
    }
  };
  const lanes = Array.from({ length: Math.min(run.atOnce, cells.length) }, () =>
    // The first error is the reason of the others.
    lane().catch((error: unknown) => ended.abort(error)),
  );
  await Promise.all(lanes);
  ended.signal.throwIfAborted();
}

/** OUT_UNUSABLE where something else has the place of a cell's folder. */
function makeFolder(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true });
  } catch (error) {
    throw new LatheError("FAILED_PRECONDITION", `${folder} cannot be created: ${(error as Error).message}`, {
      reason: "OUT_UNUSABLE",
      cause: error,
    });
  }
}

async function runCell(api: SearchApi, searchId: string, cell: OpenCell, run: CellRun): Promise<void> {
  const { output, signal, onResult } = run;
  const folder = join(run.folder, cell.name);
  makeFolder(folder);
  const label = run.atOnce > 1 ? cell.name : undefined;
  const search = await recordSearch(api, searchId, folder, output, signal, label);
  const failure = outcomeError(search);
  if (failure) {
    writeFailure(run.folder, cell.name, { search: searchId, attempts: cell.failed + 1, message: failure.message });
    output.say(`cell ${cell.name} failed: ${failure.message}`);
    // Without result.json, so that the cell stays open.
    if (hasKept(search)) await downloadArtifacts(api, searchId, search.artifacts, folder, signal);
    return;
  }
  const { files } = await writeResultFolder(api, search, folder, signal);
  forgetFailure(run.folder, cell.name);
  onResult(cell.name, search, files as string[]);
}

const unfinished = [
  SearchState.SEARCH_STATE_PENDING,
  SearchState.SEARCH_STATE_RUNNING,
  SearchState.SEARCH_STATE_PAUSED,
];

/**
 * Settles the unfinished searches of earlier runs, because a trainer finishes them before the cells of this run. It cancels those that belong
 * to no open cell, and says which of the others go on although their cell is not among those of this run.
 */
export async function settleEarlier(
  api: SearchApi,
  name: string,
  { open, now }: { open: readonly OpenCell[]; now: readonly OpenCell[] },
  run: Pick<CellRun, "output" | "signal">,
): Promise<void> {
  const ids = (cells: readonly OpenCell[]) => new Set(cells.map(({ requestId }) => requestId));
  const [wanted, own] = [ids(open), ids(now)];
  const call = { signal: run.signal };
  const page = { pageSize: 200, pageToken: "", states: unfinished, labels: { experiment: name } };
  const { searches } = await api.listSearches(page, call);
  for (const { id, requestId, spec } of searches) {
    const search = `search ${id} of cell ${spec?.labels.cell ?? "?"}`;
    if (own.has(requestId)) continue;
    if (wanted.has(requestId)) {
      run.output.say(`${search} of an earlier run goes on, and its work comes before that of this run`);
      continue;
    }
    await api.cancelSearch({ searchId: id, reason: "the experiment has changed" }, call);
    run.output.say(`${search} is cancelled: the experiment file has changed`);
  }
}

/** Removes the NATS store of an experiment's own stack. */
export function dropStore(folder: string): void {
  rmSync(join(folder, "nats"), { recursive: true, force: true });
}
