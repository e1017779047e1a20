import type { Command } from "commander";
import { datasetOptions, openDataset } from "../../shared/data/open";
import { evaluateModel } from "../../shared/evaluation/evaluateModel";
import { LatheError } from "../../shared/process/errors";
import { complain, print, printJson } from "../exit";
import { onInterrupt } from "../interrupt";
import { modelOptions, openFile, type ModelFlags } from "../model/flags";
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

async function evaluate(model: string, data: string | undefined, flags: EvaluateFlags): Promise<void> {
  const { resolved, space } = requested(dataSpec(data, flags));
  const interrupt = onInterrupt(complain);
  const opened: (() => Promise<void>)[] = [];
  try {
    const predictor = await openFile(model, flags, space.classes);
    opened.push(() => predictor.release());
    const size = predictor.form.trained;
    if (!size)
      throw new LatheError("INVALID_ARGUMENT", `${model} takes images of any size: --input HxW must say at which size it is compared`); // prettier-ignore
    const { classes } = space;
    const options = datasetOptions(resolved, { inputHeight: size.height, inputWidth: size.width, classes });
    // Only the validation split is read.
    const dataset = await openDataset({ ...options, ...(resolved.dataset.path && { trainExamples: 1 }) });
    opened.push(() => dataset.close());
    const names = dataset.info.classes;
    const differing = differingNames(predictor.metadata.classes, names);
    if (differing !== undefined) complain(`lathe: ${differing}`);
    const scores = await evaluateModel(predictor, dataset.validation, classes, {
      signal: interrupt.signal,
      ...(process.stderr.isTTY && !flags.json && { progress: bar }),
    });
    const evaluation = { model, form: predictor.form, size, names, scores };
    if (flags.json) printJson(evaluationJson(evaluation));
    else print(...evaluationLines(evaluation));
  } finally {
    for (const close of opened.reverse()) await close();
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

/** A sentence where the class names in a model's metadata are not those of the data; undefined where they agree or are not given. */
function differingNames(text: string | undefined, names: readonly string[]): string | undefined {
  if (text === undefined) return undefined;
  let known: unknown;
  try {
    known = JSON.parse(text);
  } catch {
    // Another program's metadata of this name.
    return undefined;
  }
  if (!Array.isArray(known)) return undefined;
  const at = names.findIndex((name, index) => known[index] !== name);
  if (at < 0) return undefined;
  return `class ${at} is "${String(known[at])}" in the model and "${names[at]}" in the data set: the order of the classes may differ`;
}

function bar(done: number, of: number): void {
  process.stderr.write(`\r${done} of ${of} images${done === of ? "\n" : ""}`);
}
