import { LatheError } from "../process/errors";
import { checkGraph, eliminateDeadCode, type ElementType, type Graph, type Value } from "./graph";
import { comparisonRules, elementwiseRules } from "./kernels/elementwise";
import { matrixRules } from "./kernels/matrix";
import { reductionRules } from "./kernels/reduction";
import type { Rule } from "./kernels/rule";
import { shapeRules } from "./kernels/shape";
import { Recorder } from "./recorder";
import { withDerivativesInScope } from "./scope";
import type { Signature, Step } from "./signature";
import { onBackend, tf } from "./tf";

const backendName = "lathe-trace";

/** The TF.js backend whose kernels append ONNX nodes. The data of a tensor is its name in the graph, so values cannot be read back. */
class TraceBackend extends tf.KernelBackend {
  private recorder: Recorder | undefined;
  private readonly values = new tf.DataStorage<Value>(this, tf.engine());

  /** Records the ops of `body` in a new graph. */
  record<T>(body: (recorder: Recorder) => T): T {
    if (this.recorder !== undefined) throw new LatheError("INTERNAL", "a step is traced inside a traced step");
    this.recorder = new Recorder();
    try {
      return onBackend(backendName, () => withDerivativesInScope(() => body(this.current())));
    } finally {
      this.recorder = undefined;
    }
  }

  current(): Recorder {
    if (this.recorder === undefined)
      throw new LatheError("INTERNAL", `backend ${backendName} is used outside of a trace`);
    return this.recorder;
  }

  symbolOf(tensor: tf.TensorInfo): Value {
    return this.values.get(tensor.dataId);
  }

  infoOf(value: Value): tf.TensorInfo {
    const { name, dtype } = value;
    if (dtype !== "float32" && dtype !== "int32" && dtype !== "bool")
      throw new LatheError("INTERNAL", `"${name}" is ${dtype}, TF.js has no such tensors`);
    const dataId = {};
    this.values.set(dataId, value);
    return { dataId, shape: [...value.shape], dtype };
  }

  override write(values: tf.BackendValues, shape: number[], dtype: tf.DataType): tf.DataId {
    const dataId = {};
    this.move(dataId, values, shape, dtype);
    return dataId;
  }

  override move(dataId: tf.DataId, values: tf.BackendValues, shape: number[], dtype: tf.DataType): void {
    if (dtype !== "float32" && dtype !== "int32" && dtype !== "bool") {
      throw new LatheError(
        "UNIMPLEMENTED",
        `a traced step holds a constant of type ${dtype}, must be float32, int32 or bool`,
      );
    }
    this.values.set(dataId, this.current().constant(values as ArrayLike<number>, shape, dtype));
  }

  override readSync(): never {
    throw new LatheError(
      "FAILED_PRECONDITION",
      "a traced step reads a tensor's values; it must be a pure function of tensors",
    );
  }

  override read(): never {
    return this.readSync();
  }

  override disposeData(dataId: tf.DataId): boolean {
    return this.values.delete(dataId);
  }

  // Values are names, so there is no memory to count or free.
  override incRef(): void {}
  decRef(): void {}
  override refCount(): number {
    return 1;
  }
  override numDataIds(): number {
    return this.values.numDataIds();
  }
  override memory(): { unreliable: boolean } {
    return { unreliable: true };
  }
  override timerAvailable(): boolean {
    return false;
  }
  override floatPrecision(): 32 {
    return 32;
  }
  override epsilon(): number {
    return 1e-7;
  }
}

const backend = new TraceBackend();
tf.registerBackend(backendName, () => backend);

/** Registers the ONNX rule of a kernel. */
export function registerRule(kernelName: string, rule: Rule): void {
  tf.registerKernel({
    kernelName,
    backendName,
    kernelFunc: ({ inputs, attrs }) => {
      // TF.js passes lists of tensors under the keys 0, 1, ...; Object.values keeps their order.
      const values = Object.fromEntries(
        Object.entries(inputs).map(([name, info]) => [name, backend.symbolOf(info as tf.TensorInfo)]),
      );
      const recorder = backend.current();
      recorder.kernel = kernelName;
      const result = rule(recorder, values, attrs ?? {});
      recorder.kernel = "";
      return Array.isArray(result) ? result.map((value) => backend.infoOf(value)) : backend.infoOf(result);
    },
  });
}

for (const rules of [elementwiseRules, comparisonRules, shapeRules, reductionRules, matrixRules]) {
  for (const [kernelName, rule] of Object.entries(rules)) registerRule(kernelName, rule);
}

/** Constant tensors of a traced step that keep their names in the graph: the weights of an exported network. */
export type Constants = Readonly<Record<string, { data: Float32Array | Int32Array; shape: readonly number[] }>>;

export interface TracedStep {
  readonly graph: Graph;
  /** The step's own names of graph.outputs, in the same order, with their values in the graph. */
  readonly outputs: readonly (readonly [name: string, value: Value])[];
}

/**
 * Runs a step on symbolic tensors and returns the checked graph of its ops; throws UNIMPLEMENTED with the name of a kernel without a
 * rule.
 */
export function trace(step: Step, signature: Signature, constants: Constants = {}): TracedStep {
  return backend.record((recorder) => {
    const traced = withoutLeaks(() => {
      const symbols: Record<string, tf.Tensor> = {};
      const symbol = (value: Value): tf.Tensor => tf.engine().makeTensorFromTensorInfo(backend.infoOf(value));
      for (const [name, { shape, dtype }] of Object.entries(signature)) {
        symbols[name] = symbol(recorder.input(name, shape, dtype));
      }
      for (const [name, { data, shape }] of Object.entries(constants)) {
        if (name in symbols)
          throw new LatheError("INVALID_ARGUMENT", `"${name}" is both an input and a constant of the step`);
        const dtype: ElementType = data instanceof Int32Array ? "int32" : "float32";
        symbols[name] = symbol(recorder.weight(name, data, shape, dtype));
      }
      const results = Object.entries(callStep(step, symbols));
      // Names are unique in ONNX, but a step may have an input and an output with the same name, such as "weights".
      const nameInGraph = (name: string): string => (name in symbols ? `${name}:out` : name);
      const graph = recorder.finish(
        Object.fromEntries(results.map(([name, tensor]) => [nameInGraph(name), backend.symbolOf(tensor)])),
      );
      return { graph, outputs: results.map(([name], i) => [name, graph.outputs[i] as Value] as const) };
    });
    const graph = eliminateDeadCode(traced.graph);
    checkGraph(graph);
    return { graph, outputs: traced.outputs };
  });
}

/** tf.tidy for a body that returns no tensors. */
function withoutLeaks<T>(body: () => T): T {
  let result: T | undefined;
  tf.tidy(() => {
    result = body();
  });
  return result as T;
}

function callStep(step: Step, symbols: Record<string, tf.Tensor>): Record<string, tf.Tensor> {
  try {
    return step(symbols);
  } catch (error) {
    const kernel =
      error instanceof Error ? /Kernel '(\w+)' not registered for backend/.exec(error.message)?.[1] : undefined;
    if (kernel === undefined) throw error;
    throw new LatheError("UNIMPLEMENTED", `the tracer has no rule for the TF.js kernel ${kernel}`, {
      reason: "KERNEL_UNSUPPORTED",
      metadata: { kernel },
      cause: error,
    });
  }
}
