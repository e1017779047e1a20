import { binary, stepFromZero } from "../emit";
import { required } from "../kernels/rule";
import { tf } from "../tf";
import { defineKernel, single } from "./kernel";
import { checkEven, emitUpsampled, halved, pooling, shapeOf, upsampled, windows } from "./window";

const maxPoolGradient = defineKernel({
  name: "LatheMaxPool2x2Gradient",
  traced: (r, inputs) => {
    const [x, y, dy] = [required(inputs, "x"), required(inputs, "y"), required(inputs, "dy")];
    const largest = stepFromZero(r, binary(r, "Sub", x, emitUpsampled(r, y)));
    // The mean over a window: a quarter of the number of its largest elements.
    const share = r.node("AveragePool", [largest], y.shape, y.dtype, pooling);
    const each = binary(r, "Div", binary(r, "Mul", dy, r.scalar(0.25)), share);
    return binary(r, "Mul", largest, emitUpsampled(r, each));
  },
  eager: ({ x, y, dy }) => {
    const largest = tf.cast(tf.equal(x as tf.Tensor, upsampled(y as tf.Tensor)), "float32");
    const count = tf.sum(windows(largest), [2, 4]).reshape((y as tf.Tensor).shape);
    return tf.mul(largest, upsampled(tf.div(dy as tf.Tensor, count)));
  },
});

const maxPool = defineKernel({
  name: "LatheMaxPool2x2",
  traced: (r, inputs) => {
    const x = required(inputs, "x");
    return r.node("MaxPool", [x], halved(shapeOf(x)), x.dtype, pooling);
  },
  eager: ({ x }) => tf.max(windows(x as tf.Tensor), [2, 4]).reshape([...halved(shapeOf(x as tf.Tensor))]),
  gradient: {
    saveInputs: ["x"],
    saveOutputs: [true],
    of: (dy, [x, y]) => ({ x: () => single(maxPoolGradient({ x: x as tf.Tensor, y: y as tf.Tensor, dy }, {})) }),
  },
});

/**
 * Maximum over 2x2 windows of x [N,C,H,W], H and W even. Equal maxima of a window share the derivative; otherwise constant channels after
 * a dead ReLU would pass on four times the derivative.
 */
export function maxPool2x2(x: tf.Tensor): tf.Tensor4D {
  checkEven("maxPool2x2", x);
  return single(maxPool({ x }, {})) as tf.Tensor4D;
}
