import { pad, reshape, slice, transpose } from "../emit";
import type { Value } from "../graph";
import { required } from "../kernels/rule";
import { defineKernel, single } from "../ops/kernel";
import type { Recorder } from "../recorder";
import { tf } from "../tf";
import { toBlocked, toPlain } from "./emit";

interface Enter {
  /** Channels of the blocked value, a multiple of the tile size; channels beyond the input's are 0. */
  channels: number;
}

interface Leave {
  /** Shape [N,C,H,W] of the plain value; channels beyond C are dropped. */
  shape: readonly [number, number, number, number];
}

function enter(r: Recorder, x: Value, channels: number): Value {
  const [n, c, h, w] = x.shape as [number, number, number, number];
  const padded = pad(r, x, [0, 0, 0, 0], [0, channels - c, 0, 0]);
  return toBlocked(r, reshape(r, transpose(r, padded, [1, 2, 0, 3]), [1, channels, h, n * w]));
}

function leave(r: Recorder, x: Value, [n, c, h, w]: Leave["shape"]): Value {
  const channels = x.shape[1] as number;
  const plain = reshape(r, toPlain(r, x), [channels, h, n, w]);
  return slice(r, transpose(r, plain, [2, 0, 1, 3]), [1], [0], [c]);
}

const entering = defineKernel<Enter>({
  name: "LatheToBlocked",
  traced: (r, inputs, { channels }: Enter) => enter(r, required(inputs, "x"), channels),
  gradient: {
    saveInputs: ["x"],
    of: (dy, [x]) => ({ x: () => fromBlocked(dy, (x as tf.Tensor).shape as unknown as Leave["shape"]) }),
  },
});

const leaving = defineKernel<Leave>({
  name: "LatheFromBlocked",
  traced: (r, inputs, { shape }: Leave) => leave(r, required(inputs, "x"), shape),
  gradient: { saveInputs: ["x"], of: (dy, [x]) => ({ x: () => intoBlocked(dy, (x as tf.Tensor).shape[1] as number) }) },
});

/** x [N,C,H,W] as [1, channels, H, N*W] in blocked order. */
export function intoBlocked(x: tf.Tensor, channels: number): tf.Tensor {
  return single(entering({ x }, { channels }));
}

/** The inverse of `intoBlocked`: [N,C,H,W] in plain order. */
export function fromBlocked(x: tf.Tensor, shape: Leave["shape"]): tf.Tensor {
  return single(leaving({ x }, { shape }));
}
