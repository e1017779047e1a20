import type { Size } from "../data/images";
import type { IndexMap } from "../data/png";
import { resizeImage } from "../data/resize";
import { openModel, type Model } from "../engine/model";
import type { SessionOptions } from "../engine/session";
import { classMap } from "./classMap";
import { formOf, refused, type FormFlags, type ModelForm } from "./form";

/** A model that gives the class of each pixel of an RGB image. */
export interface Predictor {
  readonly form: ModelForm;
  readonly metadata: Model["metadata"];
  /**
   * Classes of an image [H,W,3] at the size of the model's output. The image is resized first unless the model takes it as it is. `classes` is
   * the number that is expected, where that is known.
   */
  predict(rgb: Uint8Array, size: Size, classes?: number): Promise<IndexMap>;
  release(): Promise<void>;
}

/** Opens a model as a predictor. */
export async function openPredictor(bytes: Uint8Array, flags: FormFlags, options: SessionOptions): Promise<Predictor> {
  const model = await openModel(bytes, options);
  try {
    const form = formOf(model, flags);
    return {
      form,
      metadata: model.metadata,
      predict: async (rgb, size, classes) => {
        const own = form.size ?? size;
        const outputs = await model.run(form.input, tensorOf(form, resizeImage(rgb, size, own), own));
        const output = outputs[form.output];
        if (!output) throw refused(`the model gave no output "${form.output}"`);
        return classMap(output, form, classes);
      },
      release: () => model.release(),
    };
  } catch (error) {
    await model.release();
    throw error;
  }
}

/** The input of a model, from bytes [H,W,3]. */
function tensorOf({ type, layout, scale, mean, std }: ModelForm, rgb: Uint8Array, { height, width }: Size) {
  const pixels = height * width;
  const planes = layout === "nchw";
  const dims = planes ? [1, 3, height, width] : [1, height, width, 3];
  if (type === "uint8" && !planes) return { dims, data: rgb };
  const data = type === "uint8" ? new Uint8Array(3 * pixels) : new Float32Array(3 * pixels);
  // 1 / 255 as training computes it: the quotient, not the product with a rounded factor.
  const scaled = scale === 1 / 255 ? (value: number) => value / 255 : (value: number) => value * scale;
  for (let c = 0; c < 3; c++) {
    const [m, s] = [mean[c] ?? 0, std[c] ?? 1];
    for (let p = 0; p < pixels; p++) {
      const value = rgb[3 * p + c]!;
      data[planes ? c * pixels + p : 3 * p + c] = type === "uint8" ? value : (scaled(value) - m) / s;
    }
  }
  return { dims, data };
}
