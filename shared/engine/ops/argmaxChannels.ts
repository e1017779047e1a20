import { tf } from "../tf";

/** Index of the largest channel of logits [N,K,H,W], the first if several are equal: int32 [N,H,W]. It has no derivative. */
export function argmaxChannels(logits: tf.Tensor): tf.Tensor3D {
  return tf.argMax(logits, 1);
}
