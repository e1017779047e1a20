import { presetSpec } from "../../shared/spec/presets";
import { inputFactor } from "../../shared/space/validate";
import type { Preset } from "../../shared/spec/bounds";
import { writeOut } from "../commands/options";
import { inputSize } from "./inputSize";
import type { InitPlan, InitRequest } from "./plan";
import { listText } from "./split";
import { specText, type Written } from "./specText";

/** An input size with the aspect of the images and the area of the preset's, and a batch size where the preset's is too large. */
export function fitted(preset: Preset, { stored, divided }: InitPlan): Pick<Written, "input" | "batchSize"> {
  const { space, training } = presetSpec(preset);
  const examples = divided.train.length;
  return {
    input: inputSize(stored.sizes, space.inputHeight * space.inputWidth, inputFactor(space)),
    batchSize: examples < training.batchSize ? examples : undefined,
  };
}

/** Writes the spec and, for a folder without splits, its lists. Returns the paths. */
export function writeSpec(
  { path, out }: InitRequest,
  { dataset, proposal, divided, lists }: InitPlan,
  rest: Pick<Written, "about" | "preset" | "path" | "input" | "batchSize">,
): string[] {
  const text = specText({ ...rest, ...proposal, kind: dataset.kind, fields: dataset });
  if (lists) {
    writeOut(lists.train, listText(path, divided.train));
    writeOut(lists.validation, listText(path, divided.validation));
  }
  writeOut(out, text);
  return [out, ...(lists ? [lists.train, lists.validation] : [])];
}
