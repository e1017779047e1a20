import type { Rule } from "../kernels/rule";
import { tf } from "../tf";
import { registerRule } from "../tracer";

type Tensors = Record<string, tf.Tensor>;

/** An operation of our own with an ONNX form and a TF.js form; `name` must be unique among kernels. */
interface Kernel<Attributes> {
  readonly name: string;
  readonly traced: Rule;
  /** The same function in standard TF.js ops, for the eager backends; without it, only the tracer has the kernel. */
  readonly eager?: (inputs: Tensors, attributes: Attributes) => tf.Tensor | tf.Tensor[];
  /** The derivative with respect to each input, computed on demand from the derivative of the outputs and the saved tensors. */
  readonly gradient?: {
    readonly saveInputs: readonly string[];
    readonly saveOutputs?: readonly boolean[];
    readonly of: (dy: tf.Tensor, saved: tf.Tensor[], attributes: Attributes) => Record<string, () => tf.Tensor>;
  };
}

const eagerBackends = ["cpu", "tensorflow"];

/**
 * Registers a kernel with the tracer and the eager backends, and returns the function that runs it. TF.js calls a registered gradient for
 * each input separately, unlike tf.customGrad, so unused derivatives are not computed.
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
      // TF.js passes the tensors themselves, and does not record the ops inside a kernel.
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
 * The derivatives with respect to each of `names`, from one computation that returns them in this order. TF.js asks for each input
 * separately and frees tensors that are not returned, so the results are kept.
 */
export function together(names: readonly string[], compute: () => tf.Tensor[]): Record<string, () => tf.Tensor> {
  let all: tf.Tensor[] | undefined;
  const each = (index: number) => (all ??= compute().map((tensor) => tf.keep(tensor)))[index] as tf.Tensor;
  return Object.fromEntries(names.map((name, index) => [name, () => each(index)]));
}

/** Tensors by their names, given in the same order. */
export function byName<Name extends string>(
  names: readonly Name[],
  tensors: readonly tf.Tensor[],
): Record<Name, tf.Tensor> {
  return Object.fromEntries(names.map((name, index) => [name, tensors[index]])) as Record<Name, tf.Tensor>;
}

/** The first output of a kernel. */
export function single(outputs: readonly tf.Tensor[]): tf.Tensor {
  return outputs[0] as tf.Tensor;
}
