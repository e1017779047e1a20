import { openOnnx, type OnnxModel } from "../../shared/engine/onnx";
import { createRandom } from "../../shared/engine/random";
import { elementCount, type Arrays, type Signature } from "../../shared/engine/signature";
import { LatheError } from "../../shared/process/errors";
import type { LatencyFigures } from "../../shared/proto/lathe/v1/result";
import { conditionsOf } from "./conditions";
import { summarise, sampleRuns, type Clock, type Sampling } from "./measure";
import type { ProfilingSettings } from "./settings";

export interface MeasuredNetwork {
  latency: LatencyFigures;
  /** Seconds of each timed run. */
  samples: Float64Array;
}

/** Seed of the inputs. Their values do not affect the time, but are the same in every run. */
export const SEED = 1;

/** Measures an ONNX network with one float32 input [1,C,H,W]. INVALID_ARGUMENT (MODEL_UNSUPPORTED) for other inputs. */
export async function measureNetwork(
  model: Uint8Array,
  settings: ProfilingSettings,
  signal: AbortSignal,
  sampling: Sampling = settings,
  clock?: Clock,
): Promise<MeasuredNetwork> {
  return withModel(model, settings, async (opened) => {
    const [height, width] = imageSize(opened.inputs);
    const samples = await sampleRuns(runOf(opened), sampling, signal, clock);
    return { latency: summarise(samples, conditionsOf(settings, height, width)), samples };
  });
}

/** Seconds of each timed run of any model. */
export async function sampleModel(
  model: Uint8Array,
  settings: ProfilingSettings,
  sampling: Sampling,
  signal: AbortSignal,
): Promise<Float64Array> {
  return withModel(model, settings, (opened) => sampleRuns(runOf(opened), sampling, signal));
}

/** Opens a session for `use` and releases it afterwards. */
async function withModel<T>(
  model: Uint8Array,
  { provider, threads }: ProfilingSettings,
  use: (opened: OnnxModel) => Promise<T>,
): Promise<T> {
  const opened = await openOnnx(model, { provider, threads });
  try {
    return await use(opened);
  } finally {
    await opened.release();
  }
}

/** A run on random inputs in [0, 1). Outputs are allocated beforehand, so allocations are not timed. */
function runOf(model: OnnxModel): () => Promise<unknown> {
  const random = createRandom(SEED, "profile");
  const inputs = arrays(model.inputs, (length) => Float32Array.from({ length }, () => random.next()));
  const outputs = arrays(model.outputs, (length) => new Float32Array(length));
  return () => model.run(inputs, outputs);
}

function arrays(signature: Signature, floats: (length: number) => Float32Array): Arrays {
  return Object.fromEntries(
    Object.entries(signature).map(([name, { shape, dtype }]) => {
      const length = elementCount(shape);
      return [name, dtype === "float32" ? floats(length) : new Int32Array(length)];
    }),
  );
}

function imageSize(inputs: Signature): [height: number, width: number] {
  const [input, ...others] = Object.entries(inputs);
  const { shape = [], dtype } = input?.[1] ?? {};
  const [batch, , height = 0, width = 0] = shape;
  const positive = shape.every((extent) => extent > 0);
  if (others.length > 0 || shape.length !== 4 || batch !== 1 || dtype !== "float32" || !positive) {
    const found = Object.entries(inputs).map(([name, spec]) => `"${name}" ${spec.dtype} [${spec.shape.join(",")}]`);
    throw new LatheError(
      "INVALID_ARGUMENT",
      `the network's inputs are ${found.join(", ") || "none"}, must be one float32 [1,channels,height,width]`,
      { reason: "MODEL_UNSUPPORTED" },
    );
  }
  return [height, width];
}
