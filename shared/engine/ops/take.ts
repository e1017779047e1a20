import { gather, pad, reshape, sizeOf } from "../emit";
import { required } from "../kernels/rule";
import { tf } from "../tf";
import { defineKernel, single } from "./kernel";

interface Take {
  /** Index in x of each element of the result; -1 gives 0. */
  source: readonly number[];
}

const kernel = defineKernel<Take>({
  name: "LatheTake",
  traced: (r, inputs, { source }: Take) => {
    const x = required(inputs, "x");
    const size = sizeOf(x);
    const flat = reshape(r, x, [size]);
    const extended = source.includes(-1) ? pad(r, flat, [0], [1]) : flat;
    return gather(
      r,
      extended,
      source.map((index) => (index < 0 ? size : index)),
    );
  },
  eager: ({ x }, { source }) => {
    const { size } = x as tf.Tensor;
    const indices = Int32Array.from(source, (index) => (index < 0 ? size : index));
    return tf.gather(tf.concat([tf.reshape(x as tf.Tensor, [size]), tf.zeros([1])]), tf.tensor1d(indices, "int32"));
  },
  gradient: {
    saveInputs: ["x"],
    of: (dy, [x], { source }) => ({
      x: () => {
        const { size, shape } = x as tf.Tensor;
        const places = Array<number>(size).fill(-1);
        source.forEach((index, at) => {
          if (index >= 0) places[index] = at;
        });
        return tf.reshape(take(dy, places), shape);
      },
    }),
  },
});

/**
 * Elements of x (any shape) in the given order, [source.length]: y[i] = x[source[i]], or 0 if source[i] is -1. No element may be taken
 * twice. The derivative is then such a selection too and costs one or two nodes; those of a gather or a split cost many.
 */
export function take(x: tf.Tensor, source: readonly number[]): tf.Tensor1D {
  const taken = source.filter((index) => index >= 0);
  if (new Set(taken).size < taken.length) throw new Error("an element is taken twice");
  return single(kernel({ x }, { source })) as tf.Tensor1D;
}
