import type { Size } from "../data/images";
import type { Model, ModelValue } from "../engine/model";
import { LatheError } from "../process/errors";
import { MAX_SIDE } from "../space/validate";

/** A user may say this about a model where its file does not. */
export interface FormFlags {
  /** Size of the images that the model takes, where its input leaves it free. */
  readonly input?: Size | undefined;
  readonly layout?: "nchw" | "nhwc" | undefined;
  /** A float input is (pixel * scale - mean) / std, pixels 0 to 255, mean and std per channel in RGB. */
  readonly scale?: number | undefined;
  readonly mean?: readonly number[] | undefined;
  readonly std?: readonly number[] | undefined;
  readonly output?: string | undefined;
  /** The user gives these as flags of a command, or as fields of a request. Default: flags. */
  readonly words?: keyof typeof WORDS | undefined;
}

/** The name of each part of FormFlags in a message that asks to set it. */
const WORDS = {
  flags: {
    input: "--input HxW",
    told: "--input",
    layout: "--layout nchw|nhwc",
    scaling: ["--scale", "--mean", "--std"],
  },
  fields: {
    input: "input_height and input_width",
    told: "input_height and input_width",
    layout: "layout",
    scaling: ["scale", "mean", "std"],
  },
} as const;
type Words = (typeof WORDS)[keyof typeof WORDS];

/** The user's word for the size of a model's images. */
export const inputWord = ({ words = "flags" }: FormFlags): string => WORDS[words].input;

/** How a model takes images and gives classes. */
export interface ModelForm {
  readonly input: string;
  readonly type: "uint8" | "float32";
  readonly layout: "nchw" | "nhwc";
  /** Undefined where the model takes images of any size. */
  readonly size: Size | undefined;
  /** The size at which the model was trained to see, where that is known: that of its input, or as its metadata say. */
  readonly trained: Size | undefined;
  readonly scale: number;
  readonly mean: readonly number[];
  readonly std: readonly number[];
  readonly output: string;
}

/** The form of a model, from its file and the flags. INVALID_ARGUMENT (MODEL_UNSUPPORTED) says what cannot be understood, and the flag for it. */
export function formOf(model: Pick<Model, "inputs" | "outputs" | "metadata">, flags: FormFlags): ModelForm {
  const [input, ...others] = model.inputs;
  if (!input || others.length > 0)
    throw refused(
      `the model has ${model.inputs.length} inputs (${listed(model.inputs)}), must have one that takes images`,
    );
  const { type } = input;
  if (type !== "uint8" && type !== "float32")
    throw refused(`${described(input)}: its element type must be uint8 or float32`);
  if (input.dims.length !== 4) throw refused(`${described(input)}: it must have four axes`);
  if (typeof input.dims[0] === "number" && input.dims[0] !== 1)
    throw refused(`${described(input)}: its batch must be 1 or free`);
  const words = WORDS[flags.words ?? "flags"];
  const layout = layoutOf(input, flags.layout, words);
  const size = sizeOf(input, layout, flags.input, words);
  const trained = size ?? flags.input ?? namedSize(model.metadata.network_size);
  if (type === "float32" && !size)
    throw refused(
      `${described(input)}: its height and width are free, so ${words.input} must say the size of its images`,
    );
  for (const side of [trained?.height ?? 1, trained?.width ?? 1])
    if (side < 1 || side > MAX_SIDE)
      throw refused(`${described(input)}: a side of its images is ${side}, must be 1 to ${MAX_SIDE}`);
  return {
    input: input.name,
    type,
    layout,
    size,
    trained,
    ...scalingOf(model, input, flags, words.scaling),
    output: outputOf(model, flags.output),
  };
}

function layoutOf(input: ModelValue, told: FormFlags["layout"], words: Words): "nchw" | "nhwc" {
  const { dims } = input;
  const places = { nchw: dims[1], nhwc: dims[3] };
  const can = (layout: "nchw" | "nhwc") => places[layout] === 3 || typeof places[layout] === "string";
  if (told !== undefined) {
    if (can(told)) return told;
    throw refused(`${described(input)}: it does not have 3 channels in the layout ${told}`);
  }
  const three = (["nchw", "nhwc"] as const).filter((layout) => places[layout] === 3);
  if (three.length === 1) return three[0]!;
  if (three.length === 2 || can("nchw") || can("nhwc"))
    throw refused(`${described(input)}: which axis holds the 3 channels is not clear, so ${words.layout} must say it`);
  throw refused(`${described(input)}: it must have 3 channels`);
}

function sizeOf(input: ModelValue, layout: "nchw" | "nhwc", told: Size | undefined, words: Words): Size | undefined {
  const [height, width] = layout === "nchw" ? input.dims.slice(2) : input.dims.slice(1, 3);
  const fits = (extent: number | string | undefined, wanted: number) => typeof extent !== "number" || extent === wanted;
  if (told && !(fits(height, told.height) && fits(width, told.width)))
    throw refused(`${described(input)}: it does not take ${told.height}x${told.width}, which ${words.told} says`);
  if (typeof height === "number" && typeof width === "number") return { height, width };
  return input.type === "uint8" ? undefined : told;
}

function namedSize(text = ""): Size | undefined {
  const [, height, width] = /^(\d{1,5})x(\d{1,5})$/.exec(text) ?? [];
  return height === undefined ? undefined : { height: Number(height), width: Number(width) };
}

function scalingOf(
  { metadata }: Pick<Model, "metadata">,
  input: ModelValue,
  { scale, mean, std }: FormFlags,
  [scales, means, deviations]: Words["scaling"],
): Pick<ModelForm, "scale" | "mean" | "std"> {
  const told = scale !== undefined || mean !== undefined || std !== undefined;
  if (input.type === "uint8" && told)
    throw refused(`${described(input)}: ${scales}, ${means} and ${deviations} are for float inputs`);
  const ours = metadata.input?.includes("pixel / 255") === true;
  if (input.type === "float32" && !told && !ours)
    throw refused(
      `${described(input)}: the model does not say how it scales pixels, so ${scales} must say it (1/255 for 0..1, with ${means} and ${deviations} where it was trained so)`,
    );
  return { scale: scale ?? (input.type === "uint8" ? 1 : 1 / 255), mean: mean ?? [0, 0, 0], std: std ?? [1, 1, 1] };
}

function outputOf({ outputs }: Pick<Model, "outputs">, told: string | undefined): string {
  const chosen = told === undefined ? outputs[0] : outputs.find(({ name }) => name === told);
  if (!chosen) throw refused(`the model has no output "${told ?? ""}": it has ${listed(outputs)}`);
  return chosen.name;
}

const described = ({ name, type, dims }: ModelValue): string =>
  `the model's input "${name}" is ${type} [${dims.join(",")}]`;
const listed = (values: readonly ModelValue[]): string =>
  values.map(({ name, type, dims }) => `"${name}" ${type} [${dims.join(",")}]`).join(", ") || "none";

/** An error for a model whose form is not understood. */
export function refused(message: string): LatheError {
  return new LatheError("INVALID_ARGUMENT", message, { reason: "MODEL_UNSUPPORTED" });
}
