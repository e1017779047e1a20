import { openModel, type Model, type ModelValue } from "../../shared/engine/model";
import { createRandom } from "../../shared/engine/random";
import { elementCount } from "../../shared/engine/signature";
import { LatheError } from "../../shared/process/errors";
import type { LatencyFigures } from "../../shared/proto/lathe/v1/result";
import { conditionsOf } from "./conditions";
import { sampleRuns, summarise } from "./measure";
import { SEED } from "./network";
import type { ProfilingSettings } from "./settings";

/** Height and width of an image, in pixels. */
export interface ImageSize {
  height: number;
  width: number;
}

/**
 * Measures an ONNX model of any origin with one input of an image, uint8 or float32, in either layout. `size` fills a free height and width;
 * a free batch is 1. Unlike in measureNetwork, whose output has a known size, a run includes the allocation of its outputs.
 * INVALID_ARGUMENT (MODEL_UNSUPPORTED) for other inputs.
 */
export async function measureModel(
  bytes: Uint8Array,
  size: ImageSize | undefined,
  settings: ProfilingSettings,
  signal: AbortSignal,
): Promise<LatencyFigures> {
  const { provider, threads } = settings;
  const model = await openModel(bytes, { provider, threads });
  try {
    const [input, ...others] = model.inputs;
    if (!input || others.length > 0 || input.dims.length !== 4)
      throw unsupported(`the model's inputs are ${listed(model)}, must be one with four axes`);
    const dims = filled(input, size);
    const random = createRandom(SEED, "profile");
    const length = elementCount(dims);
    const data =
      input.type === "uint8"
        ? Uint8Array.from({ length }, () => random.integer(256))
        : input.type === "float32"
          ? Float32Array.from({ length }, () => random.next())
          : undefined;
    if (!data) throw unsupported(`the model's inputs are ${listed(model)}, must be uint8 or float32`);
    const samples = await sampleRuns(() => model.run(input.name, { dims, data }), settings, signal);
    const [height = 0, width = 0] = imageAxes(input).map((axis) => dims[axis] ?? 0);
    return summarise(samples, conditionsOf(settings, height, width));
  } finally {
    await model.release();
  }
}

/** The axes of height and width: channels are last where the last axis has 3 and the second has not. */
function imageAxes({ dims }: ModelValue): readonly [number, number] {
  return dims[3] === 3 && dims[1] !== 3 ? [1, 2] : [2, 3];
}

function filled(input: ModelValue, size: ImageSize | undefined): number[] {
  const [vertical, horizontal] = imageAxes(input);
  const wanted = new Map<number, number | undefined>([
    [0, 1],
    [vertical, size?.height],
    [horizontal, size?.width],
  ]);
  return input.dims.map((extent, axis) => {
    const asked = wanted.get(axis);
    const fixed = typeof extent === "number" ? extent : asked;
    const shown = `the model's input "${input.name}" is ${input.type} [${input.dims.join(",")}]`;
    if (fixed === undefined) throw unsupported(`${shown}: its size is free, so --input HxW must say it`);
    if (asked !== undefined && fixed !== asked)
      throw unsupported(axis === 0 ? `${shown}: its batch must be 1 or free` : `${shown}: it does not take --input`);
    return fixed;
  });
}

const listed = ({ inputs }: Pick<Model, "inputs">): string =>
  inputs.map(({ name, type, dims }) => `"${name}" ${type} [${dims.join(",")}]`).join(", ") || "none";

const unsupported = (message: string) => new LatheError("INVALID_ARGUMENT", message, { reason: "MODEL_UNSUPPORTED" });
