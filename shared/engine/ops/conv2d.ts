import { required } from "../kernels/rule";
import { tf } from "../tf";
import { convolutionShape, padded, type Convolution, type Shape4 } from "./convolutionShape";
import { conv2dInputGradient, conv2dWeightGradient } from "./conv2dGradient";
import { defineKernel, single } from "./kernel";

const kernel = defineKernel<Convolution>({
  name: "LatheConv2d",
  traced: (r, inputs, convolution: Convolution) => {
    const [x, w] = [required(inputs, "x"), required(inputs, "w")];
    const shape = convolutionShape(x.shape, w.shape, convolution);
    const { batch, outChannels, outHeight, outWidth, kernelSize, padding } = shape;
    return r.node("Conv", [x, w], [batch, outChannels, outHeight, outWidth], x.dtype, {
      kernel_shape: kernelSize,
      strides: [convolution.stride, convolution.stride],
      dilations: convolution.dilation,
      pads: [...padding, ...padding],
    });
  },
  eager: ({ x, w }, convolution) => eagerConvolution(x as tf.Tensor4D, w as tf.Tensor4D, convolution),
  gradient: {
    saveInputs: ["x", "w"],
    of: (dy, [x, w], convolution) => ({
      x: () => conv2dInputGradient(dy, w as tf.Tensor, (x as tf.Tensor).shape as unknown as Shape4, convolution),
      w: () => conv2dWeightGradient(x as tf.Tensor, dy, (w as tf.Tensor).shape as unknown as Shape4, convolution),
    }),
  },
});

/**
 * Convolution of x [N,Ci,H,W] with w [Co,Ci,kh,kw] (odd sizes), zero-padded by (k-1)/2 * dilation on each side:
 * [N, Co, ceil(H/stride), ceil(W/stride)].
 */
export function conv2d(x: tf.Tensor, w: tf.Tensor, options: Partial<Convolution> = {}): tf.Tensor4D {
  const convolution: Convolution = { stride: options.stride ?? 1, dilation: options.dilation ?? [1, 1] };
  convolutionShape(x.shape, w.shape, convolution);
  return single(kernel({ x, w }, convolution)) as tf.Tensor4D;
}

/** The same by TF.js's NHWC convolution, the only layout of its CPU backend. */
function eagerConvolution(x: tf.Tensor4D, w: tf.Tensor4D, convolution: Convolution): tf.Tensor4D {
  const { padding } = convolutionShape(x.shape, w.shape, convolution);
  const channelsLast: tf.Tensor4D = tf.transpose(padded(x, padding), [0, 2, 3, 1]);
  const filterLast: tf.Tensor4D = tf.transpose(w, [2, 3, 1, 0]);
  const { stride, dilation } = convolution;
  // TF.js has no convolution with both a stride and a dilation, so every position is computed and some are picked.
  const dilated = dilation[0] > 1 || dilation[1] > 1;
  const y = tf.conv2d(channelsLast, filterLast, dilated ? 1 : stride, "valid", "NHWC", [...dilation]);
  const channelsFirst: tf.Tensor4D = tf.transpose(y, [0, 3, 1, 2]);
  return dilated && stride > 1
    ? (tf.stridedSlice(channelsFirst, [0, 0, 0, 0], channelsFirst.shape, [1, 1, stride, stride]) as tf.Tensor4D)
    : channelsFirst;
}
