import { LatheError } from "../process/errors";
import { EAGER, memoryAccount, type MemoryAccount } from "./account";
import { compileEager } from "./eager";
import { tileSize } from "./nchwc/tileSize";
import type { TileSize } from "./nchwc/emit";
import { allowsTf32 } from "./native";
import { lossScaleOf, supportsPrecision } from "./precision";
import {
  compileOnnx,
  createSession,
  onnxRuntimeVersion,
  requireProvider,
  type CompiledStep,
  type Optimization,
  type SessionOptions,
} from "./session";
import type { Signature, Step } from "./signature";
import { requireTensorflow } from "./tensorflow";

export { onnxRuntimeVersion, runSmallGraph } from "./session";
export type { Provider } from "./provider";
export type { CompiledStep, Optimization } from "./session";
export type { Arrays, Signature, Step } from "./signature";

/** Compiles steps so that they can run. */
export interface Engine {
  /** For example "onnxruntime/cpu 1.30.0", or with low precision "onnxruntime/cuda 1.30.0 float16" or "... tf32". */
  readonly name: string;
  /** Factor by which a step multiplies its loss before differentiation and divides the gradient afterwards; default 1. */
  readonly lossScale?: number;
  /** Channels of a tile of ONNX Runtime's blocked layout; undefined if the provider has no blocked layout. */
  readonly tileSize?: TileSize;
  /** Account of the estimated memory of the compiled steps; undefined for engines without one. */
  heldBytes?(): number;
  compile(step: Step, signature: Signature, name?: string, optimization?: Optimization): Promise<CompiledStep>;
}

export interface EngineOptions extends SessionOptions {
  engine: "onnxruntime" | "tensorflow";
}

/** Loads libtensorflow and creates sessions; tests replace it to act as another machine. */
interface Runtime {
  tensorflow?: typeof requireTensorflow;
  create?: typeof createSession;
}

/**
 * Creates the engine of a configuration. Throws INVALID_ARGUMENT if the settings contradict each other, and FAILED_PRECONDITION
 * (ENGINE_UNAVAILABLE), with a message of one line, if this machine lacks the engine.
 */
export async function createEngine(
  options: EngineOptions,
  { tensorflow = requireTensorflow, create = createSession }: Runtime = {},
): Promise<Engine> {
  const { provider, precision = "float32" } = options;
  if (!Number.isInteger(options.threads) || options.threads < 1) {
    throw new LatheError("INVALID_ARGUMENT", `engine threads is ${options.threads}, must be an integer >= 1`);
  }
  if (!supportsPrecision(options.engine, provider, precision)) {
    const found = options.engine === "tensorflow" ? "engine tensorflow" : `provider ${provider}`;
    throw new LatheError(
      "INVALID_ARGUMENT",
      `engine precision is ${precision}, must be float32 with ${found}: lower ones need provider cuda or tensorrt of onnxruntime`,
    );
  }
  if (options.engine === "tensorflow") {
    const name = tensorflow(options);
    const account = memoryAccount(provider, options.memoryBytes, EAGER);
    return { ...eagerEngine("tensorflow", account), name, heldBytes: () => account.bytes() };
  }
  await requireProvider(options, create);
  const account = memoryAccount(provider, options.memoryBytes);
  const tile = provider === "cpu" ? await tileSize((model) => create(model, options)) : undefined;
  const rounding = precision === "float32" && provider !== "cpu" && allowsTf32() ? "tf32" : precision;
  return {
    name: `onnxruntime/${provider} ${onnxRuntimeVersion()}${rounding === "float32" ? "" : ` ${rounding}`}`,
    ...(tile && { tileSize: tile }),
    lossScale: lossScaleOf(precision),
    compile: (step, signature, name = "step", optimization = "all") =>
      compileOnnx(step, signature, name, options, optimization, account, create),
    heldBytes: () => account.bytes(),
  };
}

/** Runs steps op by op on a registered TF.js backend: slow on "cpu", where it is the oracle of tests. */
export function eagerEngine(backend: "cpu" | "tensorflow", account?: MemoryAccount): Engine {
  return {
    name: `tfjs/${backend}`,
    // eslint-disable-next-line @typescript-eslint/require-await -- a fault of tracing must reject instead of throwing
    compile: async (step, signature, name = "step") => compileEager(step, signature, name, backend, account),
  };
}
