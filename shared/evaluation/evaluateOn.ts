import { validationChange } from "../data/change";
import { datasetFault, datasetOptions, openDataset, type Dataset } from "../data/open";
import type { Size } from "../data/images";
import type { SessionOptions } from "../engine/session";
import type { DatasetFigures } from "../proto/lathe/v1/result";
import type { DatasetSpec } from "../proto/lathe/v1/spec";
import { evaluateModel, type ModelScores } from "./evaluateModel";
import { inputWord, refused, type FormFlags, type ModelForm } from "./form";
import { openPredictor } from "./predictor";

/** A model and the data on which it is measured. */
export interface ModelOnData {
  /** The bytes of an ONNX file. */
  readonly model: Uint8Array;
  readonly told: FormFlags;
  readonly session: SessionOptions;
  /** With every default filled in. */
  readonly dataset: DatasetSpec;
  /** Seed of generated scenes. */
  readonly seed: number;
  /** The number of classes that the data set must have, where that is known. */
  readonly classes?: number | undefined;
  /** The data of the search that the model comes from, where it is known. */
  readonly recorded?: DatasetFigures | undefined;
}

/** An evaluation gives these figures of a model. */
export interface ModelEvaluation {
  readonly form: ModelForm;
  /** Size at which class maps and labels were compared. */
  readonly size: Size;
  /** Names of the classes. */
  readonly names: readonly string[];
  readonly scores: ModelScores;
  /** A sentence where the class names in the model's metadata are not those of the data. */
  readonly note: string | undefined;
  /** A sentence where the validation data is not that of the search. */
  readonly dataChange: string | undefined;
}

interface Watching {
  signal?: AbortSignal | undefined;
  progress?: ((done: number, of: number) => void) | undefined;
}

/**
 * Measures a model of any origin on the validation split of a data set. Both `lathe evaluate` and EvaluateNetwork do it here, so that their
 * figures are the same. DATASET_INVALID where the split has no labelled pixel.
 */
export async function evaluateOn(
  { model, told, session, dataset: spec, seed, classes: expected, recorded }: ModelOnData,
  { signal, progress }: Watching = {},
): Promise<ModelEvaluation> {
  const predictor = await openPredictor(model, told, session);
  const opened: (() => Promise<void>)[] = [() => predictor.release()];
  try {
    const size = predictor.form.trained;
    if (!size)
      throw refused(`the model takes images of any size: ${inputWord(told)} must say at which size it is compared`);
    const shape = { inputHeight: size.height, inputWidth: size.width, classes: expected ?? 0 };
    const { classes, ...options } = datasetOptions({ dataset: spec, seed }, shape);
    // Only the validation split is read.
    const dataset = await openDataset({ ...options, trainExamples: 1, ...(expected !== undefined && { classes }) });
    opened.push(() => dataset.close());
    const names = dataset.info.classes;
    await requireLabels(dataset, spec.path);
    const note = differingNames(predictor.metadata.classes, names);
    progress?.(0, dataset.validation.length);
    const scores = await evaluateModel(predictor, dataset.validation, names.length, {
      ...(signal && { signal }),
      ...(progress && { progress }),
    });
    const dataChange = await validationChange(recorded, dataset);
    return { form: predictor.form, size, names, scores, note, dataChange };
  } finally {
    for (const close of opened.reverse()) await close();
  }
}

/** Throws where no pixel of the validation split has a class: every figure would be 0. */
async function requireLabels({ info, validation }: Dataset, path: string | undefined): Promise<void> {
  const pixels = await validation.countPixels(info.classes.length);
  if (pixels.some((count) => count > 0)) return;
  const which = path ? path : info.kind;
  throw datasetFault(`dataset ${which}: the validation split has no labelled pixel, so there is nothing to compare`);
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
