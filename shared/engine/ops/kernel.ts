import type { Rule } from "../kernels/rule";
import { tf } from "../tf";
import { registerRule } from "../tracer";

type Tensors = Record<string, tf.Tensor>;

/** An operation of our own with an ONNX form and a TF.js form; `name` must be unique among kernels. */
interface Kernel<Attributes> {
  readonly name: string;
  readonly traced: Rule;
  /** The same function by standard TF.js ops, for the eager backends; absent: it exists for the tracer alone. */
  readonly eager?: (inputs: Tensors, attributes: Attributes) => tf.Tensor | tf.Tensor[];
  /** Lazily, per input that needs one: its derivative from that of the output(s) and the saved tensors. */
  readonly gradient?: {
    readonly saveInputs: readonly string[];
    readonly saveOutputs?: readonly boolean[];
    readonly of: (dy: tf.Tensor, saved: tf.Tensor[], attributes: Attributes) => Record<string, () => tf.Tensor>;
  };
}

const eagerBackends = ["cpu", "tensorflow"];

/**
 * Registers a kernel with the tracer and the eager backends and returns the function that runs it. A registered gradient, unlike
 * tf.customGrad, is asked for each input apart, so what nobody needs is not computed.
 */
export function defineKernel<Attributes extends object = object>(
  kernel: Kernel<Attributes>,
): (inputs: Tensors, attributes: Attributes) => tf.Tensor[] {
  registerRule(kernel.name, kernel.traced);
  const { eager } = kernel;
  for (const backendName of eager ? eagerBackends : []) {
    tf.registerKernel({
      kernelName: kernel.name,
      backendName,
      // TF.js passes the tensors themselves, and does not record what a kernel runs inside.
      kernelFunc: ({ inputs, attrs }) => tf.tidy(() => eager!(inputs as Tensors, attrs as unknown as Attributes)),
    });
  }
  const { gradient } = kernel;
  if (gradient !== undefined) {
    tf.registerGradient({
      kernelName: kernel.name,
      inputsToSave: [...gradient.saveInputs],
      outputsToSave: [...(gradient.saveOutputs ?? [])],
      gradFunc: (dy, saved, attrs) =>
        gradient.of((Array.isArray(dy) ? dy[0] : dy) as tf.Tensor, saved, attrs as unknown as Attributes),
    });
  }
  return (inputs, attributes) => {
    const result: tf.Tensor | tf.Tensor[] = tf
      .engine()
      .runKernel(kernel.name, inputs, attributes as unknown as tf.NamedAttrMap);
    return Array.isArray(result) ? result : [result];
  };
}

/**
 * The derivatives by each of `names`, in the order in which one computation gives them. TF.js asks for each input apart and frees what is
 * not returned: they are kept, so that all come from one.
 */
export function together(names: readonly string[], compute: () => tf.Tensor[]): Record<string, () => tf.Tensor> {
  let all: tf.Tensor[] | undefined;
  const each = (index: number) => (all ??= compute().map((tensor) => tf.keep(tensor)))[index] as tf.Tensor;
  return Object.fromEntries(names.map((name, index) => [name, () => each(index)]));
}

/** The first output of a kernel. */
export function single(outputs: readonly tf.Tensor[]): tf.Tensor {
  return outputs[0] as tf.Tensor;
}
