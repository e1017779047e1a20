import { LatheError } from "../../process/errors";
import type { Value } from "../graph";
import { required } from "../kernels/rule";
import type { Recorder } from "../recorder";
import { tf } from "../tf";
import type { Shape4 } from "./convolutionShape";
import { defineKernel, single } from "./kernel";

/** ONNX attributes of 2x2 pooling. */
export const pooling = { kernel_shape: [2, 2], strides: [2, 2] };

export const halved = ([n, c, h, w]: Shape4): Shape4 => [n, c, h / 2, w / 2];
export const shapeOf = (x: { readonly shape: readonly number[] }): Shape4 => x.shape as unknown as Shape4;

/** x [N,C,H,W] as [N*C, H/2, 2, W/2, 2]: the window of a pooled element along axes 2 and 4. */
export function windows(x: tf.Tensor): tf.Tensor {
  const [n, c, h, w] = shapeOf(x);
  return tf.reshape(x, [n * c, h / 2, 2, w / 2, 2]);
}

/** Each element repeated over a 2x2 window, for eager backends. */
export function upsampled(x: tf.Tensor): tf.Tensor {
  const [n, c, h, w] = shapeOf(x);
  return tf.tile(tf.reshape(x, [n * c, h, 1, w, 1]), [1, 1, 2, 1, 2]).reshape([n, c, h * 2, w * 2]);
}

/** Each element repeated over a 2x2 window, in ONNX. */
export function emitUpsampled(r: Recorder, x: Value): Value {
  const [n, c, h, w] = shapeOf(x);
  const inputs = [x, r.constant([], [0], "float32"), r.constant([1, 1, 2, 2], [4], "float32")];
  return r.node("Resize", inputs, [n, c, h * 2, w * 2], x.dtype, {
    mode: "nearest",
    nearest_mode: "floor",
    coordinate_transformation_mode: "asymmetric",
  });
}

const upsample = defineKernel({
  name: "LatheUpsample2x2",
  traced: (r, inputs) => emitUpsampled(r, required(inputs, "x")),
  eager: ({ x }) => upsampled(x as tf.Tensor),
});

/** Each element of x [N,C,H,W] repeated over a 2x2 window. */
export function upsample2x2(x: tf.Tensor): tf.Tensor {
  return single(upsample({ x }, {}));
}

/** Throws INVALID_ARGUMENT if height or width is odd. */
export function checkEven(op: string, { shape }: tf.Tensor): void {
  const [, , h, w] = shape;
  if (shape.length !== 4 || h === undefined || w === undefined || h % 2 !== 0 || w % 2 !== 0) {
    throw new LatheError("INVALID_ARGUMENT", `${op} of [${shape.join(",")}]: must be [N,C,H,W] with even H and W`);
  }
}
