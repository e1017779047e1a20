import { statSync } from "node:fs";
import { resolve as resolvePath } from "node:path";
import type { Command } from "commander";
import { checkLayout } from "../../shared/data/check";
import { datasetOptions, listFiles } from "../../shared/data/open";
import { LatheError } from "../../shared/process/errors";
import { DatasetKind, DatasetSpec } from "../../shared/proto/lathe/v1/spec";
import { print, printJson } from "../exit";
import { datasetNames } from "../spec/datasetNames";
import { datasetKind, describedSpec, readSpec, type SpecFlags } from "../spec/specFlags";
import { userFolder } from "../userFolder";
import { dataReportJson, dataReportLines } from "../view/dataReport";
import { progressLine } from "../view/progress";

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
  // The size is that of the space; here files are read as they are.
  const options = datasetOptions({ dataset, seed: 0 }, { inputHeight: 0, inputWidth: 0, classes: 0 });
  const path = dataset.path ?? "";
  const layout = await listFiles(options);
  const report = await checkLayout(layout, options, progressLine("examples"));
  if (json) printJson(dataReportJson(report));
  else print(...dataReportLines(report, path));
  const files = report.faults.reduce((sum, group) => sum + Math.max(1, group.files.length), 0);
  if (files > 0)
    throw new LatheError("INVALID_ARGUMENT", `${path} has ${files} fault${files > 1 ? "s" : ""}`, {
      reason: "DATASET_INVALID",
    });
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
