import type { Command } from "commander";
import { evaluateOn } from "../../shared/evaluation/evaluateOn";
import { LatheError } from "../../shared/process/errors";
import { complain, print, printJson } from "../exit";
import { onInterrupt } from "../interrupt";
import { formFlags, modelOptions, readModel, type ModelFlags } from "../model/flags";
import { datasetNames } from "../spec/datasetNames";
import { readSpec, requested, type SpecFlags } from "../spec/specFlags";
import { evaluationLines, evaluationJson } from "../view/evaluation";

interface EvaluateFlags extends ModelFlags, Pick<SpecFlags, "file" | "dataset"> {
  json?: boolean;
}

/** `lathe evaluate MODEL DATA`: needs no stack. */
export function evaluateCommand(program: Command): void {
  modelOptions(program.command("evaluate <model> [data]"))
    .description(
      "measure an ONNX model of any origin on the validation split of a data set: mIoU, IoU per class, confusion",
    )
    .option("-f, --file <spec.yaml>", "spec whose data set is used; [data] overrides its folder")
    .option("--dataset <kind>", `kind of the data set: ${datasetNames.join(", ")}; default: folder`)
    .option("--json", "print JSON, with the confusion matrix")
    .action((model: string, data: string | undefined, flags: EvaluateFlags) => evaluate(model, data, flags));
}

async function evaluate(file: string, data: string | undefined, flags: EvaluateFlags): Promise<void> {
  const { resolved, space } = requested(dataSpec(data, flags));
  const { told, session } = formFlags(flags);
  const { dataset, seed } = resolved;
  const asked = { model: readModel(file), told, session, dataset, seed, classes: space.classes };
  const interrupt = onInterrupt(complain);
  try {
    const found = await evaluateOn(asked, {
      signal: interrupt.signal,
      ...(process.stderr.isTTY && !flags.json && { progress: bar }),
    });
    if (found.note !== undefined) complain(`lathe: ${found.note}`);
    if (flags.json) printJson(evaluationJson(file, found));
    else print(...evaluationLines(file, found));
  } finally {
    interrupt.dispose();
  }
}

/** The spec whose section `dataset` says which data are read. The preset only completes it. */
function dataSpec(data: string | undefined, { file, dataset }: EvaluateFlags) {
  if (data === undefined && file === undefined && dataset !== "streets")
    throw new LatheError(
      "INVALID_ARGUMENT",
      "no data set is given: name its folder after the model, or use -f spec.yaml",
    );
  const kind = dataset ?? (file === undefined ? "folder" : undefined);
  const spec = readSpec({
    ...(file !== undefined && { file }),
    ...(kind !== undefined && { dataset: kind }),
    ...(data !== undefined && { data }),
  });
  return { ...spec, preset: spec.preset || "small" };
}

function bar(done: number, of: number): void {
  process.stderr.write(`\r${done} of ${of} images${done === of ? "\n" : ""}`);
}
