import { required } from "../kernels/rule";
import { tf } from "../tf";
import { defineKernel, single } from "./kernel";
import { checkEven, halved, pooling, shapeOf, upsample2x2, windows } from "./window";

const averagePool = defineKernel({
  name: "LatheAveragePool2x2",
  traced: (r, inputs) => {
    const x = required(inputs, "x");
    return r.node("AveragePool", [x], halved(shapeOf(x)), x.dtype, pooling);
  },
  eager: ({ x }) => tf.mean(windows(x as tf.Tensor), [2, 4]).reshape([...halved(shapeOf(x as tf.Tensor))]),
  gradient: { saveInputs: [], of: (dy) => ({ x: () => upsample2x2(tf.mul(dy, 0.25)) }) },
});

/** Mean over 2x2 windows of x [N,C,H,W], H and W even. */
export function averagePool2x2(x: tf.Tensor): tf.Tensor4D {
  checkEven("averagePool2x2", x);
  return single(averagePool({ x }, {})) as tf.Tensor4D;
}
