import { availableParallelism } from "node:os";
import { join, resolve } from "node:path";
import type { Command } from "commander";
import { LatheError } from "../../shared/process/errors";
import { requireConfigured } from "../configuredEngine";
import { complain, print, printJson, SEARCH_FAILED } from "../exit";
import type { SearchApi } from "../search/follow";
import { checkCells, checkDevices, type CheckedCell } from "../experiment/check";
import { parseExperiment } from "../experiment/definition";
import {
  dropIfEmpty,
  readFailure,
  readResult,
  takeExperimentFolder,
  writeManifest,
  type PlannedCell,
} from "../experiment/folder";
import { algorithmName, cellsOf, isMeant } from "../experiment/grid";
import { readCells, type CellRecord } from "../experiment/report/cells";
import { writeReport } from "../experiment/report/write";
import { openCells, type OpenCell } from "../experiment/resume";
import { dropStore, runCells, settleEarlier } from "../experiment/run";
import { onInterrupt } from "../interrupt";
import { summaryLines } from "../search/resultFolder";
import { inOwnStack, StatusOutput } from "../search/ownStack";
import { requireReadable } from "../spec/dataCheck";
import { requireOwnDevice } from "../spec/ownDevice";
import { datasetNames } from "../spec/datasetNames";
import { readText } from "../spec/specFlags";
import { userFolder } from "../userFolder";
import { serviceOptions, withSearchService, type ConnectionFlags } from "./connection";
import { whole } from "./options";

interface ExperimentFlags extends Omit<ConnectionFlags, "state"> {
  file: string;
  data?: string;
  dataset?: string;
  out?: string;
  only?: string;
  keep?: boolean;
  wait?: boolean;
  workers?: number;
}

interface ReportFlags {
  out?: string;
  json?: boolean;
}

/** `lathe experiment ...`: the commands for grids of searches. */
export function experimentCommand(program: Command): void {
  const experiment = program.command("experiment").description("run grids of searches and report on them");
  const run = experiment
    .command("run")
    .description("run every cell of a grid that has no result yet; run the command again to continue")
    .requiredOption("-f, --file <experiment.yaml>", "experiment file (YAML or JSON)")
    .option("--data <folder>", "folder of the data set, relative to the current folder")
    .option("--dataset <kind>", `data set: ${datasetNames.join(", ")}`)
    .option("--out <folder>", "experiment folder (default: runs/<name of the experiment>)")
    .option("--only <cells>", 'run only these cells, comma-separated; "*" matches any text')
    .option("--wait", "run cells although no worker serves their device class, and wait for a worker that does")
    .option(
      "--workers <number>",
      "cells that run at once; in a local stack each has its share of the cores (default: 1)",
      whole,
    )
    .option("--json", "print only the state of each cell")
    .option("--keep", "keep the NATS store (checkpoints, all events) when every cell has ended");
  serviceOptions(run, "search service to use instead of a local stack").action((flags: ExperimentFlags) =>
    runExperiment(flags),
  );
  experiment
    .command("report <folder>")
    .description("write tables and plots of an experiment; needs no stack")
    .option("--out <folder>", "report folder (default: report/ in the experiment folder)")
    .option("--json", "print only the rows of the cells and of the summary")
    .action((folder: string, flags: ReportFlags) => report(folder, flags));
}

/** Most cells at once: a search service takes no more than some hundreds of searches. */
const MOST_AT_ONCE = 64;

async function runExperiment(flags: ExperimentFlags): Promise<void> {
  const { file, only, workers = 1 } = flags;
  const [most, why] =
    flags.address === undefined ? [availableParallelism(), ", the logical cores"] : [MOST_AT_ONCE, ""];
  if (workers < 1 || workers > most)
    throw new LatheError("INVALID_ARGUMENT", `--workers is ${workers}, must be 1 to ${most}${why}`);
  const experiment = parseExperiment(readText(file, "experiment"), file);
  const cells = checkCells(cellsOf(experiment), flags, file);
  if (only !== undefined && !cells.some(({ name }) => isMeant(name, only)))
    throw new LatheError(
      "INVALID_ARGUMENT",
      `--only is "${only}", which matches none of the cells ${cells.map(({ name }) => name).join(", ")}`,
    );
  const folder = resolve(userFolder(), flags.out ?? join("runs", experiment.name));
  const found = {
    result: (cell: string) => readResult(folder, cell),
    failure: (cell: string) => readFailure(folder, cell),
  };
  const manifest = takeExperimentFolder(folder, experiment.name, cells.map(planned));
  const open = openCells(cells, manifest.id, found, folder);
  const now = open.filter(({ name }) => only === undefined || isMeant(name, only));
  if (!flags.wait && now.length > 0) await requireDevices(folder, now, flags);
  writeManifest(folder, manifest);
  const output = new StatusOutput(flags.json === true, flags.json ? complain : print);
  output.say(
    `${experiment.name}: ${cells.length} cells, ${cells.length - open.length} of them done, ${now.length} to run`,
  );
  if (now.length > 0) await runOpen(experiment.name, folder, open, now, output, flags);
  const records = readCells(folder);
  const ended = records.every(({ state }) => state !== "missing");
  if (now.length > 0 && flags.address === undefined && !flags.keep && ended) dropStore(folder);
  finish(folder, records, now, flags);
}

/** Refuses cells whose device class no worker serves, before the first of them starts and before anything is written. */
async function requireDevices(folder: string, cells: readonly OpenCell[], flags: ExperimentFlags): Promise<void> {
  try {
    if (flags.address === undefined) await checkDevices(cells, ({ resolved }) => requireOwnDevice(resolved));
    else
      await withSearchService({ ...flags, state: "" }, (api, signal) =>
        checkDevices(cells, async ({ spec, requestId }) => {
          await api.startSearch({ spec, requestId, validateOnly: true }, { signal });
        }),
      );
  } catch (error) {
    dropIfEmpty(folder);
    throw error;
  }
}

function planned({ name, variant, resolved }: CheckedCell): PlannedCell {
  const { algorithm, cost, seed } = resolved;
  const kind = algorithmName(algorithm.kind);
  return { name, algorithm: kind, ...(variant !== undefined && { variant }), target: cost.target, seed };
}

async function runOpen(
  name: string,
  folder: string,
  open: readonly OpenCell[],
  now: readonly OpenCell[],
  output: StatusOutput,
  flags: ExperimentFlags,
): Promise<void> {
  const wait = flags.wait ?? false;
  // A worker without a cell would leave its share of the cores idle.
  const atOnce = Math.min(flags.workers ?? 1, now.length);
  const run = (api: SearchApi, signal: AbortSignal) =>
    runCells(api, now, {
      ...{ folder, output, signal, wait, atOnce },
      onResult: (cell, search, files) => {
        if (!output.quiet) print(`cell ${cell}:`, ...summaryLines(search, join(folder, cell), files), "");
      },
    });
  if (flags.address !== undefined) return withSearchService({ ...flags, state: "" }, run);
  const interrupt = onInterrupt(complain);
  try {
    await requireConfigured();
    const say = (line: string) => output.say(line);
    for (const { resolved } of now) await requireReadable(resolved.dataset, { say, complain });
    await inOwnStack({ folder, workers: atOnce }, output, interrupt.signal, async (api, signal) => {
      await settleEarlier(api, name, { open, now }, { output, signal });
      await run(api, signal);
    });
  } catch (error) {
    complain("finished cells are kept; the same command continues with the others");
    throw error;
  } finally {
    interrupt.dispose();
  }
}

/** Prints the states of the cells; throws if cells of this run have failed. */
function finish(
  folder: string,
  records: readonly CellRecord[],
  now: readonly OpenCell[],
  { json }: ExperimentFlags,
): void {
  const names = new Set(now.map(({ name }) => name));
  const failed = records.filter(({ name, state }) => state === "failed" && names.has(name));
  const finished = records.filter(({ state }) => state === "finished").length;
  if (json) printJson({ folder, cells: records.map(standing) });
  else
    print(`${finished} of ${records.length} cells have a result; tables and plots: lathe experiment report ${folder}`);
  if (failed.length === 0) return;
  const lines = failed.map(({ name, message }) => `\n  ${name}: ${message ?? ""}`);
  throw new LatheError("FAILED_PRECONDITION", `${failed.length} of ${now.length} cells failed:${lines.join("")}`, {
    reason: SEARCH_FAILED,
  });
}

const standing = ({ name, state, message }: CellRecord) => ({ cell: name, state, ...(message && { message }) });

function report(given: string, { out, json }: ReportFlags): void {
  const folder = resolve(userFolder(), given);
  const target = out === undefined ? join(folder, "report") : resolve(userFolder(), out);
  const { content, files } = writeReport(folder, target);
  if (json) printJson(content);
  else print(`${target}: ${files.join(", ")}`);
}
