import { LatheError } from "../../process/errors";
import { concat, matMulTransposed, pad, reduce, reshape, slice } from "../emit";
import { required } from "../kernels/rule";
import { tf } from "../tf";
import { padded, type Shape4 } from "./convolutionShape";
import { flipped } from "./flipped";
import { defineKernel, single } from "./kernel";

interface Depthwise {
  /** Along height and width. */
  dilation: readonly [number, number];
  /** Whether the filter is flipped in space. */
  flip: boolean;
}

interface WeightGradient extends Pick<Depthwise, "dilation"> {
  filterShape: readonly number[];
}

/** Height and width of a filter [1,C,kh,kw], and the padding that keeps the input's size. */
function sizesOf(w: readonly number[], { dilation }: Pick<Depthwise, "dilation">) {
  const [, , kh, kw] = w as Shape4;
  const padding = [((kh - 1) / 2) * dilation[0], ((kw - 1) / 2) * dilation[1]] as const;
  return { kernel: [kh, kw] as const, padding };
}

/** One value per tap of a filter, row by row, from the tap's offset in the padded input. */
function forTaps<T>(
  [kh, kw]: readonly [number, number],
  { dilation }: Pick<Depthwise, "dilation">,
  body: (top: number, left: number) => T,
): T[] {
  return Array.from({ length: kh * kw }, (_, tap) =>
    body(Math.floor(tap / kw) * dilation[0], (tap % kw) * dilation[1]),
  );
}

const kernel = defineKernel<Depthwise>({
  name: "LatheDepthwise",
  traced: (r, inputs, attributes: Depthwise) => {
    const [x, w] = [required(inputs, "x"), required(inputs, "w")];
    const { kernel: size, padding } = sizesOf(w.shape, attributes);
    const channels = x.shape[1] as number;
    const filter = attributes.flip ? flipped(r, w) : w;
    return r.node("Conv", [x, reshape(r, filter, [channels, 1, ...size])], x.shape, x.dtype, {
      ...{ kernel_shape: size, dilations: attributes.dilation, pads: [...padding, ...padding], group: channels },
    });
  },
  eager: ({ x, w }, attributes) => {
    const { kernel: size, padding } = sizesOf((w as tf.Tensor).shape, attributes);
    const [, channels, height, width] = (x as tf.Tensor).shape as [number, number, number, number];
    const wide = padded(x as tf.Tensor, padding);
    const filter = attributes.flip ? tf.reverse(w as tf.Tensor, [2, 3]) : (w as tf.Tensor);
    const taps = tf.split(tf.reshape(filter, [channels, size[0] * size[1]]), size[0] * size[1], 1);
    const windows = forTaps(size, attributes, (top, left) =>
      tf.slice(wide, [0, 0, top, left], [-1, -1, height, width]),
    );
    return tf.addN(windows.map((window, tap) => tf.mul(window, tf.reshape(taps[tap]!, [1, channels, 1, 1]))));
  },
  gradient: {
    saveInputs: ["x", "w"],
    of: (dy, [x, w], attributes) => ({
      // A full correlation with the filter flipped in space. Its padding is the same, because the sizes are odd.
      x: () => convolved(dy, w as tf.Tensor, { ...attributes, flip: !attributes.flip }),
      w: () =>
        single(
          weightGradient(
            { x: x as tf.Tensor, dy },
            { dilation: attributes.dilation, filterShape: (w as tf.Tensor).shape },
          ),
        ),
    }),
  },
});

const weightGradient = defineKernel<WeightGradient>({
  name: "LatheDepthwiseWeightGradient",
  traced: (r, inputs, attributes: WeightGradient) => {
    const [x, dy] = [required(inputs, "x"), required(inputs, "dy")];
    const { kernel: size, padding } = sizesOf(attributes.filterShape, attributes);
    const [n, c, h, w] = x.shape as [number, number, number, number];
    const wide = pad(r, x, [0, 0, ...padding], [0, 0, ...padding]);
    const windows = forTaps(size, attributes, (top, left) =>
      reshape(r, slice(r, wide, [2, 3], [top, left], [h, w]), [n, c, 1, h * w]),
    );
    // [N,C,1,P] x [N,C,P,taps], summed over the batch.
    const products = matMulTransposed(r, reshape(r, dy, [n, c, 1, h * w]), concat(r, windows, 2));
    return reshape(r, reduce(r, "ReduceSum", products, [0], false), attributes.filterShape);
  },
  eager: ({ x, dy }, attributes) => {
    const { kernel: size, padding } = sizesOf(attributes.filterShape, attributes);
    const [, channels, height, width] = (x as tf.Tensor).shape as [number, number, number, number];
    const wide = padded(x as tf.Tensor, padding);
    const taps = forTaps(size, attributes, (top, left) => {
      const window = tf.slice(wide, [0, 0, top, left], [-1, -1, height, width]);
      return tf.reshape(tf.sum(tf.mul(window, dy as tf.Tensor), [0, 2, 3]), [channels, 1]);
    });
    return tf.reshape(tf.concat(taps, 1), [...attributes.filterShape]);
  },
});

function convolved(x: tf.Tensor, w: tf.Tensor, attributes: Depthwise): tf.Tensor4D {
  return single(kernel({ x, w }, attributes)) as tf.Tensor4D;
}

/**
 * Depthwise convolution of x [N,C,H,W] with w [1,C,kh,kw] (odd sizes), zero-padded to the size of x: [N,C,H,W]. INVALID_ARGUMENT if they
 * do not match.
 */
export function depthwise(x: tf.Tensor, w: tf.Tensor, dilation: readonly [number, number] = [1, 1]): tf.Tensor4D {
  const [one, channels, kh = 0, kw = 0] = w.shape;
  if (x.rank !== 4 || w.rank !== 4 || one !== 1 || channels !== x.shape[1] || kh % 2 === 0 || kw % 2 === 0)
    throw new LatheError(
      "INVALID_ARGUMENT",
      `depthwise of [${x.shape.join(",")}] with filter [${w.shape.join(",")}]: must be [N,C,H,W] and [1,C,kh,kw] with odd kh and kw`,
    );
  return convolved(x, w, { dilation, flip: false });
}
