import { LatheError } from "../../process/errors";
import { concat, matMulTransposed, pad, reduce, reshape, slice } from "../emit";
import type { Value } from "../graph";
import { required } from "../kernels/rule";
import type { Recorder } from "../recorder";
import { tf } from "../tf";
import { forTaps, padded, paddingOf, type Shape4 } from "./convolutionShape";
import { flipped } from "./flipped";
import { defineKernel, single } from "./kernel";

interface Depthwise {
  /** Along height and width. */
  dilation: readonly [number, number];
}

interface WeightGradient extends Depthwise {
  filterShape: readonly number[];
}

/** Height and width of a filter [C,1,kh,kw], and the padding that keeps the input's size. */
function sizesOf(w: readonly number[], { dilation }: Depthwise) {
  const [, , kh, kw] = w as Shape4;
  return { kernel: [kh, kw] as const, padding: paddingOf([kh, kw], dilation) };
}

function emit(r: Recorder, x: Value, w: Value, attributes: Depthwise): Value {
  const { kernel, padding } = sizesOf(w.shape, attributes);
  return r.node("Conv", [x, w], x.shape, x.dtype, {
    kernel_shape: kernel,
    dilations: attributes.dilation,
    pads: [...padding, ...padding],
    group: x.shape[1] as number,
  });
}

function eagerly(x: tf.Tensor, w: tf.Tensor, attributes: Depthwise): tf.Tensor {
  const { kernel, padding } = sizesOf(w.shape, attributes);
  const [, channels, height, width] = x.shape as [number, number, number, number];
  const wide = padded(x, padding);
  const taps = tf.split(tf.reshape(w, [channels, kernel[0] * kernel[1]]), kernel[0] * kernel[1], 1);
  const windows = forTaps(kernel, attributes.dilation, (top, left) =>
    tf.slice(wide, [0, 0, top, left], [-1, -1, height, width]),
  );
  return tf.addN(windows.map((window, tap) => tf.mul(window, tf.reshape(taps[tap]!, [1, channels, 1, 1]))));
}

// A full correlation with the filter flipped in space. Its padding is the same, because the sizes are odd.
const inputGradient = defineKernel<Depthwise>({
  name: "LatheDepthwiseInputGradient",
  traced: (r, inputs, attributes: Depthwise) =>
    emit(r, required(inputs, "dy"), flipped(r, required(inputs, "w")), attributes),
  eager: ({ dy, w }, attributes) => eagerly(dy as tf.Tensor, tf.reverse(w as tf.Tensor, [2, 3]), attributes),
});

const weightGradient = defineKernel<WeightGradient>({
  name: "LatheDepthwiseWeightGradient",
  traced: (r, inputs, attributes: WeightGradient) => {
    const [x, dy] = [required(inputs, "x"), required(inputs, "dy")];
    const { kernel, padding } = sizesOf(attributes.filterShape, attributes);
    const [n, c, h, w] = x.shape as [number, number, number, number];
    const wide = pad(r, x, [0, 0, ...padding], [0, 0, ...padding]);
    const windows = forTaps(kernel, attributes.dilation, (top, left) =>
      reshape(r, slice(r, wide, [2, 3], [top, left], [h, w]), [n, c, 1, h * w]),
    );
    // [N,C,1,P] x [N,C,P,taps], summed over the batch.
    const products = matMulTransposed(r, reshape(r, dy, [n, c, 1, h * w]), concat(r, windows, 2));
    return reshape(r, reduce(r, "ReduceSum", products, [0], false), attributes.filterShape);
  },
  eager: ({ x, dy }, attributes) => {
    const { kernel, padding } = sizesOf(attributes.filterShape, attributes);
    const [, channels, height, width] = (x as tf.Tensor).shape as [number, number, number, number];
    const wide = padded(x as tf.Tensor, padding);
    const taps = forTaps(kernel, attributes.dilation, (top, left) => {
      const window = tf.slice(wide, [0, 0, top, left], [-1, -1, height, width]);
      return tf.reshape(tf.sum(tf.mul(window, dy as tf.Tensor), [0, 2, 3]), [channels, 1]);
    });
    return tf.reshape(tf.concat(taps, 1), [...attributes.filterShape]);
  },
});

const kernel = defineKernel<Depthwise>({
  name: "LatheDepthwise",
  traced: (r, inputs, attributes: Depthwise) => emit(r, required(inputs, "x"), required(inputs, "w"), attributes),
  eager: ({ x, w }, attributes) => eagerly(x as tf.Tensor, w as tf.Tensor, attributes),
  gradient: {
    saveInputs: ["x", "w"],
    of: (dy, [x, w], { dilation }) => ({
      x: () => single(inputGradient({ dy, w: w as tf.Tensor }, { dilation })),
      w: () => single(weightGradient({ x: x as tf.Tensor, dy }, { dilation, filterShape: (w as tf.Tensor).shape })),
    }),
  },
});

/**
 * Depthwise convolution of x [N,C,H,W] with w [C,1,kh,kw] (odd sizes), zero-padded to the size of x: [N,C,H,W]. INVALID_ARGUMENT if they
 * do not match.
 */
export function depthwise(x: tf.Tensor, w: tf.Tensor, dilation: readonly [number, number] = [1, 1]): tf.Tensor4D {
  const [channels, one, kh = 0, kw = 0] = w.shape;
  if (x.rank !== 4 || w.rank !== 4 || one !== 1 || channels !== x.shape[1] || kh % 2 === 0 || kw % 2 === 0)
    throw new LatheError(
      "INVALID_ARGUMENT",
      `depthwise of [${x.shape.join(",")}] with filter [${w.shape.join(",")}]: must be [N,C,H,W] and [C,1,kh,kw] with odd kh and kw`,
    );
  return single(kernel({ x, w }, { dilation })) as tf.Tensor4D;
}
