import { cast, reduce, reshape, runLength, sizeOf } from "../emit";
import type { Value } from "../graph";
import { required } from "../kernels/rule";
import type { Recorder } from "../recorder";
import { tf } from "../tf";
import { defineKernel, single } from "./kernel";

const mean = defineKernel({
  name: "LatheChannelMean",
  traced: (r, inputs) => cast(r, emitMean(r, required(inputs, "x")), "float32"),
  eager: ({ x }) => eagerMean(x as tf.Tensor),
});

/**
 * Mean of x [N,C,H,W] over all but the channel axis, axis by axis: libtensorflow adds the values of a reduction one after the other in float32,
 * and over all positions at once their error flips decisions of ReLUs and poolings.
 */
export const eagerMean = (x: tf.Tensor): tf.Tensor => tf.mean(tf.mean(tf.mean(x, 3), 2), 0);

/**
 * Mean of x [N,C,H,W] over all but the channel axis in float64. A pooling adds up runs of positions, in ONNX Runtime several times faster
 * than a reduction over axes 0, 2 and 3. It adds in float32, so the means of the runs are added in float64.
 */
export function emitMean(r: Recorder, x: Value): Value {
  const [n, c] = x.shape as [number, number];
  const positions = sizeOf(x) / (n * c);
  const length = runLength(positions);
  const runs = positions / length;
  const means = r.node("GlobalAveragePool", [reshape(r, x, [n, c * runs, 1, length])], [n, c * runs, 1, 1], x.dtype);
  return reduce(r, "ReduceMean", cast(r, reshape(r, means, [n, c, runs]), "float64"), [0, 2], false);
}

/** Mean of x [N,C,H,W] over all but the channel axis: [C]. It registers no derivative. */
export function channelMean(x: tf.Tensor): tf.Tensor1D {
  return single(mean({ x }, {})) as tf.Tensor1D;
}

/** Sum of x [N,C,H,W] over all but the channel axis: [C]. It registers no derivative. */
export function channelSum(x: tf.Tensor): tf.Tensor {
  const [n, , h, w] = x.shape as [number, number, number, number];
  return tf.mul(channelMean(x), n * h * w);
}

const affine = defineKernel({
  name: "LatheChannelAffine",
  traced: (r, inputs) => {
    const [x, scale, shift] = [required(inputs, "x"), required(inputs, "scale"), required(inputs, "shift")];
    const channels = scale.shape[0] as number;
    const zeros = r.constant(new Float32Array(channels), [channels], "float32");
    const ones = r.constant(new Float32Array(channels).fill(1), [channels], "float32");
    // One pass instead of two for a product and a sum.
    return r.node("BatchNormalization", [x, scale, shift, zeros, ones], x.shape, x.dtype, { epsilon: { float: 0 } });
  },
  eager: ({ x, scale, shift }) =>
    tf.add(tf.mul(x as tf.Tensor, perChannel(scale as tf.Tensor)), perChannel(shift as tf.Tensor)),
});

/** x * scale + shift for x [N,C,H,W] and per-channel scale and shift [C]. It registers no derivative. */
export function channelAffine(x: tf.Tensor, scale: tf.Tensor, shift: tf.Tensor): tf.Tensor4D {
  return single(affine({ x, scale, shift }, {})) as tf.Tensor4D;
}

/** A vector [C] as [1,C,1,1]. */
export function perChannel(vector: tf.Tensor): tf.Tensor {
  return tf.reshape(vector, [1, vector.size, 1, 1]);
}
