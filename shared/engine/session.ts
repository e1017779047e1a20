import { join } from "node:path";
import * as ort from "onnxruntime-node";
import { LatheError } from "../process/errors";
import { gate } from "../process/gate";
import { memorySize } from "../process/memory";
import type { MemoryAccount } from "./account";
import { setCudaOptions } from "./cuda";
import type { Graph, Value } from "./graph";
import { encodeModel } from "./encode";
import { causeOf, unavailable } from "./missing";
import { conv2d } from "./ops/conv2d";
import { mixedPrecision, type Precision } from "./precision";
import type { Provider } from "./provider";
import { checkInputs, checkInto, outputSignature, type Arrays, type Signature, type Step } from "./signature";
import { tf } from "./tf";
import { trace, type TracedStep } from "./tracer";

/** ONNX Runtime's optimisation of a graph: everything, or nothing, which creates a session in a quarter of the time. */
export type Optimization = "all" | "disabled";

export interface SessionOptions {
  provider: Provider;
  threads: number;
  /** Precision of the products of compiled steps; default float32. */
  precision?: Precision;
  /** Bound on the memory of all steps together, in bytes; default, also for 0: the provider's (memoryAccount). */
  memoryBytes?: number;
  /** If set, ONNX Runtime profiles every session. */
  profiling?: Profiling;
}

/** Folder of the profiles, "<folder>/<name of the step>_<time>.json", and their reader (shared/engine/profile.ts). */
export interface Profiling {
  folder: string;
  opened(name: string, graph: Graph, session: ort.InferenceSession): void;
}

/** A compiled step. */
export interface CompiledStep {
  readonly nodes: number;
  readonly outputs: Signature;
  /** Runs the step once. Writes outputs named in `into` to those arrays and the others to new arrays; returns all of them. */
  run(inputs: Arrays, into?: Arrays): Promise<Arrays>;
  release(): Promise<void>;
}

// Errors reach the caller as exceptions; ONNX Runtime's log would only repeat them on stderr.
const FATAL = 4;
ort.env.logLevel = "fatal";

/** The graph of a step in its final form, and the step's names of its outputs. */
export function stepGraph(step: Step, signature: Signature, precision: Precision = "float32"): TracedStep {
  const { graph, outputs } = trace(step, signature);
  return { graph: mixedPrecision(graph, precision), outputs };
}

/** Traces a step and creates an ONNX Runtime session of its graph. */
export async function compileOnnx(
  step: Step,
  signature: Signature,
  name: string,
  options: SessionOptions,
  optimization: Optimization = "all",
  account?: MemoryAccount,
  create = createSession,
): Promise<CompiledStep> {
  const { graph, outputs } = stepGraph(step, signature, options.precision);
  const leave = account?.admit(name, graph);
  // A memory pattern is planned in the first run and then is a second buffer beside the arena, which keeps the memory of that run: twice
  // the memory of a large step, without any gain.
  const how = { graphOptimizationLevel: optimization, enableMemPattern: false };
  const session = await create(encodeModel(graph, name), options, how, name);
  options.profiling?.opened(name, graph, session);
  const compiled = sessionStep(session, graph.nodes.length, signature, outputs, options.provider);
  return {
    ...compiled,
    release: async () => {
      leave?.();
      await compiled.release();
    },
  };
}

/** Execution providers of a session, best first: CUDA runs the nodes that TensorRT does not support, and the CPU runs the rest. */
const PROVIDERS: Record<Provider, readonly Provider[]> = {
  cpu: ["cpu"],
  cuda: ["cuda", "cpu"],
  tensorrt: ["tensorrt", "cuda", "cpu"],
};

/**
 * Creates a session with the options of docs/engine.md#running-a-step; for example, idle threads of two sessions would slow each other
 * down.
 */
export async function createSession(
  model: Uint8Array,
  { provider, threads, precision = "float32", memoryBytes, profiling }: SessionOptions,
  how: ort.InferenceSession.SessionOptions = { graphOptimizationLevel: "all" },
  name = "session",
): Promise<ort.InferenceSession> {
  try {
    if (provider !== "cpu") setCudaOptions(memoryBytes);
    return await ort.InferenceSession.create(model, {
      executionProviders: PROVIDERS[provider],
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
      ...how,
      logSeverityLevel: FATAL,
      extra: {
        session: { force_spinning_stop: "1" },
        // This optimisation would merge the casts of both passes and keep their output from one pass to the other.
        ...(precision !== "float32" && {
          optimization: { disable_specified_optimizers: "CommonSubexpressionElimination" },
        }),
      },
      ...(profiling && { enableProfiling: true, profileFilePrefix: join(profiling.folder, name) }),
    });
  } catch (error) {
    const exceeded = memoryFault(error, provider);
    if (exceeded) throw exceeded;
    const message = `ONNX Runtime (${provider}) refuses the model: ${LatheError.from(error).message}`;
    throw new LatheError("INTERNAL", message, { cause: error });
  }
}

/** How ONNX Runtime, NVIDIA's libraries and the C++ library say that there is no more memory. */
const NO_MEMORY =
  /Failed to allocate memory for requested buffer of size (\d+)|smaller than requested bytes of (\d+)|CUDA failure 2: out of memory|_ALLOC(?:ATION)?_FAILED|std::bad_alloc/;

/** RESOURCE_EXHAUSTED (MEMORY_EXCEEDED) for an error of a session that got no memory; undefined for any other. */
function memoryFault(error: unknown, provider: Provider): LatheError | undefined {
  const { message } = LatheError.from(error);
  const found = NO_MEMORY.exec(message);
  if (!found) return undefined;
  const bytes = found[1] ?? found[2];
  const what = bytes === undefined ? "memory" : `${memorySize(Number(bytes))} more memory`;
  const node = /Name:'([^']*)'/.exec(message)?.[1];
  const step = `a step${node === undefined ? "" : ` (node ${node})`} did not get ${what}`;
  const text =
    provider === "cpu" || found[0] === "std::bad_alloc"
      ? `${step}, the process has ${memorySize(process.memoryUsage.rss())}: lower the batch size or the input size, or give the process more memory`
      : `${step} of the GPU: lower the batch size or the input size, or end what else runs on the GPU (nvidia-smi)`;
  return new LatheError("RESOURCE_EXHAUSTED", text, { reason: "MEMORY_EXCEEDED", cause: error });
}

/** Wraps a session whose outputs have other names in the graph than in the step. */
export function sessionStep(
  session: ort.InferenceSession,
  nodes: number,
  signature: Signature,
  outputs: readonly (readonly [string, Value])[],
  provider: Provider,
): CompiledStep {
  const outputTypes = outputSignature(outputs);
  let released = false;
  return {
    nodes,
    outputs: outputTypes,
    run: async (inputs, into = {}) => {
      await gate.pass();
      if (released) throw new LatheError("FAILED_PRECONDITION", "the compiled step has been released");
      checkInputs(inputs, signature);
      checkInto(into, outputTypes, inputs);
      const feeds = Object.fromEntries(
        Object.entries(signature).map(([name, spec]) => [name, tensor(inputs[name] as Arrays[string], spec.shape)]),
      );
      const fetches = Object.fromEntries(
        outputs.map(([name, value]) => [value.name, into[name] === undefined ? null : tensor(into[name], value.shape)]),
      );
      const fetched = await session.run(feeds, fetches, { logSeverityLevel: FATAL }).catch((error: unknown) => {
        throw memoryFault(error, provider) ?? error;
      });
      return Object.fromEntries(
        outputs.map(([name, value]) => [name, into[name] ?? (fetched[value.name]?.data as Arrays[string])]),
      );
    },
    release: async () => {
      if (released) return;
      released = true;
      await session.release();
    },
  };
}

function tensor(array: Float32Array | Int32Array, shape: readonly number[]): ort.Tensor {
  return array instanceof Float32Array
    ? new ort.Tensor("float32", array, shape)
    : new ort.Tensor("int32", array, shape);
}

/** Runs a convolution, which needs cuDNN on a GPU, and a matrix product, which needs cuBLAS. */
export async function runSmallGraph(
  compile: (step: Step, signature: Signature, name: string) => Promise<CompiledStep>,
): Promise<void> {
  const one = { shape: [1, 1, 1, 1], dtype: "float32" } as const;
  const small: Step = ({ x, w }) => {
    const y = tf.reshape(conv2d(x as tf.Tensor, w as tf.Tensor), [1, 1]);
    return { y: tf.matMul(y, y) };
  };
  const step = await compile(small, { x: one, w: one }, "probe");
  await step.run({ x: Float32Array.of(1), w: Float32Array.of(1) });
  await step.release();
}

/**
 * Runs a small graph on the provider. Throws FAILED_PRECONDITION (ENGINE_UNAVAILABLE), with the cause and what mends it in one line, if
 * this build or machine cannot.
 */
export async function requireProvider(options: SessionOptions, create = createSession): Promise<void> {
  if (options.provider === "cpu") return;
  try {
    await runSmallGraph((...step) => compileOnnx(...step, options, "all", undefined, create));
  } catch (error) {
    const fault = faultOf(error);
    throw unavailable(options, causeOf(options.provider, fault) ?? fault, error);
  }
}

/** The words of ONNX Runtime, without those that createSession adds. */
const faultOf = (error: unknown): string => LatheError.from((error as Error).cause ?? error).message;

/** Version of the loaded ONNX Runtime. */
export const onnxRuntimeVersion = (): string => ort.env.versions.node ?? ort.env.versions.common;
