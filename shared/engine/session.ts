import { join } from "node:path";
import * as ort from "onnxruntime-node";
import { LatheError } from "../process/errors";
import type { MemoryAccount } from "./account";
import type { Graph, Value } from "./graph";
import { encodeModel } from "./encode";
import { conv2d } from "./ops/conv2d";
import { mixedPrecision, type Precision } from "./precision";
import type { Provider } from "./provider";
import { checkInputs, checkInto, type Arrays, type DType, type Signature, type Step } from "./signature";
import { trace, type TracedStep } from "./tracer";

/** What ONNX Runtime does to a graph before it runs: all it can, or nothing, which takes a quarter of the time to create a session. */
export type Optimization = "all" | "disabled";

export interface SessionOptions {
  provider: Provider;
  threads: number;
  /** Of the products of compiled steps; absent: float32. */
  precision?: Precision;
  /** Memory that all steps may hold together, in bytes; absent or 0: what account.ts takes for the provider. */
  memoryBytes?: number;
  /** Has every session profiled by ONNX Runtime. */
  profiling?: Profiling;
}

/** Where profiles are written to, as "<folder>/<name of the step>_<time>.json", and who ends and reads them (profile.ts). */
export interface Profiling {
  folder: string;
  opened(name: string, graph: Graph, session: ort.InferenceSession): void;
}

/** A step as the machine runs it. */
export interface CompiledStep {
  readonly nodes: number;
  readonly outputs: Signature;
  /** Runs once. Outputs named in `into` are written to those arrays, the others to new ones; all are returned. */
  run(inputs: Arrays, into?: Arrays): Promise<Arrays>;
  release(): Promise<void>;
}

// Errors reach the caller as exceptions; ONNX Runtime's own log would only repeat them on stderr.
const FATAL = 4;
ort.env.logLevel = "fatal";

/** A step's graph as it is to run, and the step's own names of its outputs. */
export function stepGraph(step: Step, signature: Signature, precision: Precision = "float32"): TracedStep {
  const { graph, outputs } = trace(step, signature);
  return { graph: mixedPrecision(graph, precision), outputs };
}

/** Traces a step once and hands its graph to ONNX Runtime. */
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
  // A memory pattern is planned in the first run and then is a buffer of its own, beside the arena that this run has grown and that
  // nobody gives back: twice the memory of a large step, for nothing gained.
  const how = { graphOptimizationLevel: optimization, enableMemPattern: false };
  const session = await create(encodeModel(graph, name), options, how, name);
  options.profiling?.opened(name, graph, session);
  const compiled = sessionStep(
    session,
    graph.nodes.length,
    signature,
    outputs.map((output, i) => [output, graph.outputs[i] as Value]),
  );
  return {
    ...compiled,
    release: async () => {
      leave?.();
      await compiled.release();
    },
  };
}

/** What runs a session's nodes, best first: what TensorRT does not know is CUDA's, and the rest the CPU's. */
const PROVIDERS: Record<Provider, readonly Provider[]> = {
  cpu: ["cpu"],
  cuda: ["cuda", "cpu"],
  tensorrt: ["tensorrt", "cuda", "cpu"],
};

/** Creates a session with the options of docs/engine.md#running-a-step: two sessions whose idle threads spin slow each other down. */
export async function createSession(
  model: Uint8Array,
  { provider, threads, precision = "float32", profiling }: SessionOptions,
  how: ort.InferenceSession.SessionOptions = { graphOptimizationLevel: "all" },
  name = "session",
): Promise<ort.InferenceSession> {
  try {
    return await ort.InferenceSession.create(model, {
      executionProviders: PROVIDERS[provider],
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
      ...how,
      logSeverityLevel: FATAL,
      extra: {
        session: { force_spinning_stop: "1" },
        // It would make the casts of both passes one, whose output is then held from one to the other.
        ...(precision !== "float32" && {
          optimization: { disable_specified_optimizers: "CommonSubexpressionElimination" },
        }),
      },
      ...(profiling && { enableProfiling: true, profileFilePrefix: join(profiling.folder, name) }),
    });
  } catch (error) {
    throw new LatheError(
      "INTERNAL",
      `ONNX Runtime (${provider}) refuses the model: ${LatheError.from(error).message}`,
      { cause: error },
    );
  }
}

/** Wraps a session whose outputs carry other names in the graph than in the step. */
export function sessionStep(
  session: ort.InferenceSession,
  nodes: number,
  signature: Signature,
  outputs: readonly (readonly [string, Value])[],
): CompiledStep {
  const outputSignature = Object.fromEntries(
    outputs.map(([name, value]) => [name, { shape: value.shape, dtype: outputType(name, value) }]),
  );
  let released = false;
  return {
    nodes,
    outputs: outputSignature,
    run: async (inputs, into = {}) => {
      if (released) throw new LatheError("FAILED_PRECONDITION", "the compiled step has been released");
      checkInputs(inputs, signature);
      checkInto(into, outputSignature, inputs);
      const feeds = Object.fromEntries(
        Object.entries(signature).map(([name, spec]) => [name, tensor(inputs[name] as Arrays[string], spec.shape)]),
      );
      const fetches = Object.fromEntries(
        outputs.map(([name, value]) => [value.name, into[name] === undefined ? null : tensor(into[name], value.shape)]),
      );
      const results = await session.run(feeds, fetches, { logSeverityLevel: FATAL });
      return Object.fromEntries(
        outputs.map(([name, value]) => [name, into[name] ?? (results[value.name]?.data as Arrays[string])]),
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

function outputType(name: string, { dtype }: Value): DType {
  if (dtype === "float32" || dtype === "int32") return dtype;
  throw new LatheError("INVALID_ARGUMENT", `output "${name}" is ${dtype}, must be float32 or int32`);
}

// A model of one node: enough to find out whether a provider is there, and has a convolution of the precision.
const probe: Step = ({ x, w }) => ({ y: conv2d(x as NonNullable<typeof x>, w as NonNullable<typeof w>) });
const probed = { shape: [1, 1, 1, 1], dtype: "float32" } as const;

/** Throws FAILED_PRECONDITION (ENGINE_UNAVAILABLE) where this build or machine cannot run the provider. */
export async function requireProvider(options: SessionOptions, create = createSession): Promise<void> {
  if (options.provider === "cpu") return;
  const { graph } = stepGraph(probe, { x: probed, w: probed }, options.precision);
  try {
    await (await create(encodeModel(graph, "probe"), options)).release();
  } catch (error) {
    const { provider, precision = "float32" } = options;
    const lower = precision === "float32" ? "" : `, or the precision to float32, which is ${precision}`;
    const message = `engine onnxruntime/${provider} is not available here: install the GPU build of onnxruntime-node, or set the provider to cpu${lower}`;
    throw new LatheError("FAILED_PRECONDITION", message, { reason: "ENGINE_UNAVAILABLE", cause: error });
  }
}

/** Version of the loaded ONNX Runtime. */
export const onnxRuntimeVersion = (): string => ort.env.versions.node ?? ort.env.versions.common;
