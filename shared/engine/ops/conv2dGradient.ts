import { concat, matMulTransposed, pad, reduce, reshape, slice, transpose } from "../emit";
import type { Value } from "../graph";
import { required } from "../kernels/rule";
import type { Recorder } from "../recorder";
import { tf } from "../tf";
import {
  convolutionShape,
  forTaps,
  padded,
  type Convolution,
  type ConvolutionShape,
  type Shape4,
} from "./convolutionShape";
import { flipped } from "./flipped";
import { defineKernel, single } from "./kernel";

interface InputGradient extends Convolution {
  inputShape: Shape4;
}

interface WeightGradient extends Convolution {
  filterShape: Shape4;
}

const inputGradient = defineKernel<InputGradient>({
  name: "LatheConv2dInputGradient",
  traced: (r, inputs, { inputShape, stride, dilation }: InputGradient) => {
    const [dy, w] = [required(inputs, "dy"), required(inputs, "w")];
    const shape = convolutionShape(inputShape, w.shape, { stride, dilation });
    const { height, width, outHeight, outWidth, kernelSize, padding } = shape;
    const attributes = { kernel_shape: kernelSize, dilations: dilation, pads: [...padding, ...padding] };
    if (stride === 1) {
      // Full correlation: the filter is flipped in space, and its channel axes are exchanged.
      return r.node("Conv", [dy, transpose(r, flipped(r, w), [1, 0, 2, 3])], inputShape, dy.dtype, attributes);
    }
    // The centre of the filter never reaches the last row or column of an even input.
    const output_padding = [height - ((outHeight - 1) * stride + 1), width - ((outWidth - 1) * stride + 1)];
    return r.node("ConvTranspose", [dy, w], inputShape, dy.dtype, {
      ...attributes,
      strides: [stride, stride],
      output_padding,
    });
  },
  eager: ({ dy, w }, { inputShape, stride, dilation }) => {
    const shape = convolutionShape(inputShape, (w as tf.Tensor).shape, { stride, dilation });
    const { batch, outChannels, height, width, outHeight, outWidth, padding } = shape;
    const none: [number, number] = [0, 0];
    const gap: [number, number] = [0, stride - 1];
    // Zeros between the rows and columns of dy undo the stride; then a full correlation with the flipped filter follows.
    const spread = tf
      .pad(tf.reshape(dy as tf.Tensor, [batch * outChannels, outHeight, 1, outWidth, 1]), [none, none, gap, none, gap])
      .reshape([batch, outChannels, outHeight * stride, outWidth * stride])
      .slice([0, 0, 0, 0], [batch, outChannels, height, width]);
    const filterLast = tf.transpose(tf.reverse(w as tf.Tensor, [2, 3]), [2, 3, 0, 1]) as tf.Tensor4D;
    const channelsLast: tf.Tensor4D = tf.transpose(padded(spread, padding), [0, 2, 3, 1]);
    const dx = tf.conv2d(channelsLast, filterLast, 1, "valid", "NHWC", [...dilation]);
    return tf.transpose(dx, [0, 3, 1, 2]);
  },
});

const weightGradient = defineKernel<WeightGradient>({
  name: "LatheConv2dWeightGradient",
  traced: (r, inputs, attributes: WeightGradient) => {
    const [x, dy] = [required(inputs, "x"), required(inputs, "dy")];
    const shape = convolutionShape(x.shape, attributes.filterShape, attributes);
    const { batch, outChannels, outHeight, outWidth } = shape;
    const columns =
      attributes.stride === 1 ? shiftedColumns(r, x, shape, attributes) : pickedColumns(r, x, shape, attributes);
    const rows = reshape(r, dy, [batch, outChannels, outHeight * outWidth]);
    // [N,Co,P] x [N,P,Ci*taps], summed over the batch; the result is already in the order [Co,Ci,kh,kw].
    const products = matMulTransposed(r, rows, columns);
    return reshape(r, reduce(r, "ReduceSum", products, [0], false), attributes.filterShape);
  },
  eager: ({ x, dy }, attributes) => {
    const shape = convolutionShape((x as tf.Tensor).shape, attributes.filterShape, attributes);
    const { batch, inChannels, outChannels, outHeight, outWidth, kernelSize, padding } = shape;
    const { stride, dilation } = attributes;
    const wide = padded(x as tf.Tensor, padding);
    const taps = forTaps(kernelSize, dilation, (top, left) => {
      const end = [batch, inChannels, top + (outHeight - 1) * stride + 1, left + (outWidth - 1) * stride + 1];
      return tf
        .stridedSlice(wide, [0, 0, top, left], end, [1, 1, stride, stride])
        .reshape([batch, inChannels, 1, outHeight * outWidth]);
    });
    const columns = tf.concat(taps, 2).reshape([batch, inChannels * taps.length, outHeight * outWidth]);
    const rows = tf.reshape(dy as tf.Tensor, [batch, outChannels, outHeight * outWidth]);
    return tf
      .matMul(rows, columns, false, true)
      .sum(0)
      .reshape([...attributes.filterShape]);
  },
});

/** Derivative of conv2d with respect to its input [N,Ci,H,W]. */
export function conv2dInputGradient(
  dy: tf.Tensor,
  w: tf.Tensor,
  inputShape: Shape4,
  convolution: Convolution,
): tf.Tensor {
  return single(inputGradient({ dy, w }, { ...convolution, inputShape }));
}

/** Derivative of conv2d with respect to its filter [Co,Ci,kh,kw]. */
export function conv2dWeightGradient(
  x: tf.Tensor,
  dy: tf.Tensor,
  filterShape: Shape4,
  convolution: Convolution,
): tf.Tensor {
  return single(weightGradient({ x, dy }, { ...convolution, filterShape }));
}

/** im2col at stride 1, [N, Ci*taps, P]: windows of the padded input, one per tap. A 1x1 filter needs neither padding nor windows. */
function shiftedColumns(r: Recorder, x: Value, shape: ConvolutionShape, { dilation }: Convolution): Value {
  const { batch, inChannels, outHeight, outWidth, kernelSize, padding } = shape;
  const positions = outHeight * outWidth;
  const wide = pad(r, x, [0, 0, ...padding], [0, 0, ...padding]);
  const windows = forTaps(kernelSize, dilation, (top, left) =>
    slice(r, wide, [2, 3], [top, left], [outHeight, outWidth]),
  );
  const columns = windows.map((window) => reshape(r, window, [batch, inChannels, 1, positions]));
  return reshape(r, concat(r, columns, 2), [batch, inChannels * windows.length, positions]);
}

/** im2col at stride 2 as a grouped convolution with one-hot filters, which is faster than strided slices. */
function pickedColumns(r: Recorder, x: Value, shape: ConvolutionShape, { stride, dilation }: Convolution): Value {
  const { batch, inChannels, outHeight, outWidth, kernelSize, padding } = shape;
  const taps = kernelSize[0] * kernelSize[1];
  const oneHot = new Float32Array(inChannels * taps * taps);
  for (let channel = 0; channel < inChannels * taps; channel++) oneHot[channel * taps + (channel % taps)] = 1;
  const picks = r.constant(oneHot, [inChannels * taps, 1, ...kernelSize], "float32");
  const columns = r.node("Conv", [x, picks], [batch, inChannels * taps, outHeight, outWidth], x.dtype, {
    kernel_shape: kernelSize,
    strides: [stride, stride],
    dilations: dilation,
    pads: [...padding, ...padding],
    group: inChannels,
  });
  return reshape(r, columns, [batch, inChannels * taps, outHeight * outWidth]);
}
