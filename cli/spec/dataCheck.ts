import { checkLayout, type DataReport } from "../../shared/data/check";
import { datasetOptions, listFiles } from "../../shared/data/open";
import { LatheError } from "../../shared/process/errors";
import { DatasetKind, type DatasetSpec } from "../../shared/proto/lathe/v1/spec";
import { faultLines, remarkLines } from "../view/dataReport";
import { progressLine } from "../view/progress";

/** Reads every file of a data set, and reports what it counted and all faults. Draws its progress. */
export async function readAll(dataset: DatasetSpec): Promise<DataReport> {
  // The size is that of the space; here files are read as they are.
  const options = datasetOptions({ dataset, seed: 0 }, { inputHeight: 0, inputWidth: 0, classes: 0 });
  return checkLayout(await listFiles(options), options, progressLine("examples"));
}

/** INVALID_ARGUMENT (DATASET_INVALID) with the number of faults in a report, if there is one. */
export function requireFaultless({ faults }: Pick<DataReport, "faults">, name: string): void {
  const files = faults.reduce((sum, group) => sum + Math.max(1, group.files.length), 0);
  if (files === 0) return;
  throw new LatheError("INVALID_ARGUMENT", `${name} has ${files} fault${files > 1 ? "s" : ""}`, {
    reason: "DATASET_INVALID",
  });
}

/** Reads the data set of a search before it starts, and tells what it finds. INVALID_ARGUMENT (DATASET_INVALID) where it has faults. */
export async function requireReadable(
  dataset: DatasetSpec,
  { say, complain }: Record<"say" | "complain", (line: string) => void>,
): Promise<void> {
  const isKnown = reports.has(JSON.stringify(dataset));
  const data = await reportOf(dataset);
  if (!data || isKnown) return;
  for (const line of remarkLines(data)) say(line);
  const { path = "" } = dataset;
  for (const line of faultLines(data, path)) complain(line);
  requireFaultless(data, path);
}

/** Reports of data sets by their spec: the cells of an experiment share one. */
const reports = new Map<string, Promise<DataReport>>();

/** The report of the data set of a search before it starts, once per process; undefined for scenes that are generated. */
function reportOf(dataset: DatasetSpec): Promise<DataReport> | undefined {
  if (dataset.kind === DatasetKind.DATASET_KIND_STREETS) return undefined;
  const key = JSON.stringify(dataset);
  const known = reports.get(key) ?? readAll(dataset);
  reports.set(key, known);
  return known;
}
