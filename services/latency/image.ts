import type { Model, ModelInput, ModelValue } from "../../shared/engine/model";
import { createRandom } from "../../shared/engine/random";
import { elementCount } from "../../shared/engine/signature";
import { LatheError } from "../../shared/process/errors";

/** Height and width of an image, in pixels. */
export interface ImageSize {
  height: number;
  width: number;
}

/** Seed of the inputs. Their values do not affect the time, but are the same in every run. */
const SEED = 1;

/**
 * A random batch for a model with one input of four axes: bytes, or floats in [0, 1). Channels are last where the last axis has 3 and the
 * second has not. `size` fills a free height and width. INVALID_ARGUMENT (MODEL_UNSUPPORTED) for other inputs, and for a batch or a size
 * that the model does not take.
 */
export function imageOf(
  model: Pick<Model, "inputs">,
  batch: number,
  size: ImageSize | undefined,
): ImageSize & { input: string; tensor: ModelInput } {
  const [input, ...others] = model.inputs;
  if (!input || others.length > 0 || input.dims.length !== 4)
    throw unsupported(`the model's inputs are ${listed(model)}, must be one with four axes`);
  const dims = filled(input, batch, size);
  const random = createRandom(SEED, "profile");
  const length = elementCount(dims);
  const data =
    input.type === "uint8"
      ? Uint8Array.from({ length }, () => random.integer(256))
      : input.type === "float32"
        ? Float32Array.from({ length }, () => random.next())
        : undefined;
  if (!data) throw unsupported(`the model's inputs are ${listed(model)}, must be uint8 or float32`);
  const [vertical, horizontal] = imageAxes(input);
  return { input: input.name, tensor: { dims, data }, height: dims[vertical] ?? 0, width: dims[horizontal] ?? 0 };
}

/** A run of a model with one input of an image of fixed size, batch 1, that can be repeated. */
export async function prepared(model: Model): Promise<() => Promise<unknown>> {
  const { input, tensor } = imageOf(model, 1, undefined);
  return model.prepare(input, tensor);
}

/** The axes of height and width. */
function imageAxes({ dims }: ModelValue): readonly [number, number] {
  return dims[3] === 3 && dims[1] !== 3 ? [1, 2] : [2, 3];
}

function filled(input: ModelValue, batch: number, size: ImageSize | undefined): number[] {
  const [vertical, horizontal] = imageAxes(input);
  const wanted = new Map<number, number | undefined>([
    [0, batch],
    [vertical, size?.height],
    [horizontal, size?.width],
  ]);
  return input.dims.map((extent, axis) => {
    const asked = wanted.get(axis);
    const fixed = typeof extent === "number" ? extent : asked;
    const shown = `the model's input "${input.name}" is ${input.type} [${input.dims.join(",")}]`;
    if (fixed === undefined)
      throw unsupported(`${shown}: its size is free, so the height and width of an image must be given`);
    if (asked !== undefined && fixed !== asked)
      throw unsupported(
        axis === 0
          ? `${shown}: it does not take a batch of ${asked}`
          : `${shown}: it does not take ${size?.height}x${size?.width}`,
      );
    return fixed;
  });
}

const listed = ({ inputs }: Pick<Model, "inputs">): string =>
  inputs.map(({ name, type, dims }) => `"${name}" ${type} [${dims.join(",")}]`).join(", ") || "none";

const unsupported = (message: string) => new LatheError("INVALID_ARGUMENT", message, { reason: "MODEL_UNSUPPORTED" });
