import { statSync } from "node:fs";
import { resolve as resolvePath } from "node:path";
import type { Command } from "commander";
import { LatheError } from "../../shared/process/errors";
import { DatasetKind, DatasetSpec } from "../../shared/proto/lathe/v1/spec";
import { print, printJson } from "../exit";
import { readAll, requireFaultless } from "../spec/dataCheck";
import { datasetNames } from "../spec/datasetNames";
import { datasetKind, describedSpec, readSpec, type SpecFlags } from "../spec/specFlags";
import { userFolder } from "../userFolder";
import { dataReportJson, dataReportLines } from "../view/dataReport";

interface CheckFlags extends Pick<SpecFlags, "dataset"> {
  json?: boolean;
}

/** `lathe dataset check`: needs no stack. */
export function datasetCommand(program: Command): void {
  program
    .command("dataset")
    .description("look at a data set")
    .command("check <spec-or-folder>")
    .description("read every file of a data set, and name all faults, what the labels lack and what was counted")
    .option("--dataset <kind>", `kind of a folder: ${datasetNames.join(", ")}; default: folder`)
    .option("--json", "print JSON")
    .action((given: string, flags: CheckFlags) => check(given, flags));
}

async function check(given: string, { dataset: kind, json }: CheckFlags): Promise<void> {
  const dataset = datasetOf(given, kind);
  if (dataset.kind === DatasetKind.DATASET_KIND_STREETS)
    throw new LatheError(
      "INVALID_ARGUMENT",
      `the data set of ${given} is streets, whose scenes are generated: there is no file to check`,
    );
  const path = dataset.path ?? "";
  const report = await readAll(dataset);
  if (json) printJson(dataReportJson(report));
  else print(...dataReportLines(report, path));
  requireFaultless(report, path);
}

/** The data set of a spec, or of a folder by itself. */
function datasetOf(given: string, kind: string | undefined): DatasetSpec {
  const path = resolvePath(userFolder(), given);
  const flags = kind === undefined ? {} : { dataset: kind };
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() !== true) {
    const spec = readSpec({ file: given, ...flags });
    // The spec's own fields are checked; what its folder lacks is found by the check of the files.
    describedSpec({ file: given, ...flags });
    return DatasetSpec.fromPartial({ ...spec.dataset, kind: datasetKind(spec) });
  }
  const { dataset } = readSpec({ preset: "tiny", dataset: kind ?? "folder", data: path });
  return DatasetSpec.fromPartial(dataset ?? {});
}
