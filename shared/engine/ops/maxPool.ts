import { binary, stepFromZero } from "../emit";
import { required } from "../kernels/rule";
import { tf } from "../tf";
import { defineKernel, single } from "./kernel";
import { checkEven, emitUpsampled, halved, pooling, shapeOf, upsampled, windows } from "./window";

const maxPoolGradient = defineKernel({
  name: "LatheMaxPool2x2Gradient",
  traced: (r, inputs) => {
    const difference = binary(r, "Sub", required(inputs, "x"), emitUpsampled(r, required(inputs, "y")));
    return binary(r, "Mul", stepFromZero(r, difference), emitUpsampled(r, required(inputs, "dy")));
  },
  eager: ({ x, y, dy }) => {
    const largest = tf.equal(x as tf.Tensor, upsampled(y as tf.Tensor));
    return tf.mul(tf.cast(largest, "float32"), upsampled(dy as tf.Tensor));
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

/** Maximum over 2x2 windows of x [N,C,H,W], H and W even. Where several elements of a window are largest, each gets the whole derivative. */
export function maxPool2x2(x: tf.Tensor): tf.Tensor4D {
  checkEven("maxPool2x2", x);
  return single(maxPool({ x }, {})) as tf.Tensor4D;
}
