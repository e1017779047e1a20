import type { ModelTensor, ModelValue } from "../engine/model";
import { classMap } from "./classMap";
import { formOf, type FormFlags } from "./form";

const value = (type: string, dims: (number | string)[], name = "x"): ModelValue => ({ name, type, dims });
const model = (input: ModelValue | ModelValue[], metadata: Record<string, string> = {}) => ({
  inputs: [input].flat(),
  outputs: [value("float32", [1, 5, 4, 4], "logits"), value("uint8", [1, 4, 4], "map")],
  metadata,
});
const form = (input: ModelValue | ModelValue[], flags: FormFlags = {}, metadata = {}) =>
  formOf(model(input, metadata), flags);
const size = { height: 4, width: 6 };
const scale = 1 / 255;

describe("the form of a model", () => {
  it("is read from its file where that says it", () => {
    const plain = { mean: [0, 0, 0], std: [1, 1, 1], output: "logits", input: "x" };
    expect(form(value("uint8", ["n", "h", "w", 3]))).toEqual({
      ...plain,
      ...{ type: "uint8", layout: "nhwc", size: undefined, trained: undefined, scale: 1 },
    });
    expect(form(value("uint8", ["n", "h", "w", 3]), {}, { network_size: "4x6" }).trained).toEqual(size);
    expect(form(value("float32", [1, 3, 4, 6]), {}, { input: "RGB, float32, pixel / 255, NCHW" })).toEqual({
      ...plain,
      ...{ type: "float32", layout: "nchw", size, trained: size, scale },
    });
    expect(form(value("uint8", [1, 3, 4, 6]))).toMatchObject({ layout: "nchw", size });
  });

  it("takes from flags what the file leaves open", () => {
    const free = value("float32", ["n", "c", "h", "w"]);
    const flags = {
      input: size,
      layout: "nchw",
      scale,
      mean: [0.4, 0.5, 0.6],
      std: [0.2, 0.2, 0.2],
      output: "map",
    } as const;
    const { input, ...rest } = flags;
    expect(form(free, flags)).toMatchObject({ ...rest, size: input, trained: input, type: "float32" });
    expect(form(value("float32", [1, 3, 4, 3]), { ...flags, layout: "nhwc", input: undefined }).size).toEqual({
      height: 3,
      width: 4,
    });
  });

  it.each<[string, ModelValue | ModelValue[], FormFlags, string]>([
    [
      "two inputs",
      [value("uint8", [1, 3, 4, 6]), value("float32", [1], "y")],
      {},
      'has 2 inputs ("x" uint8 [1,3,4,6], "y" float32 [1])',
    ],
    [
      "another type",
      value("float16", [1, 3, 4, 6]),
      {},
      '"x" is float16 [1,3,4,6]: its element type must be uint8 or float32',
    ],
    ["three axes", value("float32", [3, 4, 6]), {}, "must have four axes"],
    ["a fixed batch", value("float32", [8, 3, 4, 6]), {}, "its batch must be 1 or free"],
    ["one channel", value("uint8", [1, 1, 4, 6]), {}, "must have 3 channels"],
    ["two axes of 3", value("uint8", [1, 3, 4, 3]), {}, "so --layout nchw|nhwc must say it"],
    ["free axes", value("uint8", ["n", "c", "h", "w"]), {}, "so --layout nchw|nhwc must say it"],
    ["a wrong layout", value("uint8", [1, 3, 4, 6]), { layout: "nhwc" }, "does not have 3 channels in the layout nhwc"],
    ["a free size", value("float32", [1, 3, "h", "w"]), { scale }, "so --input HxW must say"],
    [
      "another size",
      value("uint8", [1, 3, 4, 6]),
      { input: { height: 4, width: 8 } },
      "does not take 4x8, which --input says",
    ],
    ["a side without end", value("uint8", [1, 3, 4, 8193]), {}, "a side of its images is 8193, must be 1 to 8192"],
    [
      "a free size, in the words of a request",
      value("float32", [1, 3, "h", "w"]),
      { scale, words: "fields" },
      "so input_height and input_width must say",
    ],
    [
      "no scaling, in the words of a request",
      value("float32", [1, 3, 4, 6]),
      { words: "fields" },
      "so scale must say it (1/255 for 0..1, with mean and std where it was trained so)",
    ],
    ["no scaling", value("float32", [1, 3, 4, 6]), {}, "so --scale must say it"],
    ["scaled bytes", value("uint8", [1, 3, 4, 6]), { scale }, "are for float inputs"],
    [
      "an unknown output",
      value("uint8", [1, 3, 4, 6]),
      { output: "z" },
      'no output "z": it has "logits" float32 [1,5,4,4], "map" uint8',
    ],
  ])("refuses %s by name", (_name, input, flags, message) => {
    expect(() => form(input, flags)).toThrow(message);
  });
});

describe("the class map of an output", () => {
  const tensor = (type: string, dims: number[], data: (number | bigint)[]): ModelTensor => ({ type, dims, data });
  const of = (given: ModelTensor, classes?: number, layout: "nchw" | "nhwc" = "nchw") =>
    classMap(given, { output: "y", layout }, classes);

  it.each<[string, ModelTensor, number | undefined, number[]]>([
    ["logits by planes", tensor("float32", [1, 2, 1, 3], [0, 5, 1, 2, 4, 1]), 2, [1, 0, 0]],
    ["logits by pixels", tensor("float32", [1, 1, 3, 2], [0, 2, 5, 4, 1, 1]), 2, [1, 0, 0]],
    ["bytes", tensor("uint8", [1, 1, 3], [4, 0, 1]), 5, [4, 0, 1]],
    ["int64 with a channel", tensor("int64", [1, 1, 1, 2], [3n, 0n]), undefined, [3, 0]],
  ])("is found in %s", (_name, given, classes, data) => {
    expect(of(given, classes)).toEqual({ data: Uint8Array.from(data), height: 1, width: data.length });
  });

  it.each<[string, ModelTensor, number | undefined, string]>([
    [
      "another number of classes",
      tensor("float32", [1, 19, 4, 6], []),
      11,
      '"y" is float32 [1,19,4,6]: one axis must have the 11 classes',
    ],
    ["one channel", tensor("float32", [1, 1, 4, 6], []), undefined, "it has 1 channels, must have 2 to 255"],
    [
      "floats without classes",
      tensor("float32", [1, 4, 6], []),
      undefined,
      "must be float logits of four axes, or whole classes",
    ],
    ["several images", tensor("uint8", [2, 4, 6], []), undefined, "it must be for one image"],
    ["a class that is too large", tensor("uint8", [1, 1, 1], [11]), 11, "it has the class 11, must be 0 to 10"],
    ["a negative class", tensor("int32", [1, 1, 1], [-1]), undefined, "it has the class -1"],
  ])("is refused with %s", (_name, given, classes, message) => {
    expect(() => of(given, classes)).toThrow(message);
  });
});
