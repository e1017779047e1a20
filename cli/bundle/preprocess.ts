import { takesImages, type ModelForm } from "./model";

/** The content of preprocess.json, which predict.py and predict.mjs read: what an image needs before the network, and what its output means. */
export function preprocessing(form: ModelForm, classes: readonly string[]): Record<string, unknown> {
  const { file, inputs, outputs } = form;
  const [input] = inputs;
  const common = { model: file, classes, ignoredLabel: 255, inputs, outputs };
  if (takesImages(form))
    return {
      ...common,
      layout: "NHWC",
      colour: "RGB, as displayed (EXIF orientation applied)",
      scaling: "none: bytes of 0 to 255; the network resizes and scales",
      // The map at the image's size, where the network gives one.
      output: outputs.find(({ name }) => name === "classes_full")?.name ?? outputs[0]?.name,
      meaning: "index of the class of each pixel",
    };
  const [, , height, width] = input?.shape ?? [];
  return {
    ...common,
    layout: "NCHW",
    colour: "RGB, as displayed (EXIF orientation applied)",
    resize: { height, width, filter: "bilinear, antialiased (triangle filter, half-pixel centres)", keepAspect: false },
    scaling: "pixel / 255, float32",
    output: outputs[0]?.name,
    meaning: "logits; the class of a cell is the argmax over axis 1",
  };
}
