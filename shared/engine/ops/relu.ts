import { tf } from "../tf";

/** max(x, 0). The derivative reads the output, which the next layer keeps anyway, so that the input can be overwritten. */
export function relu<T extends tf.Tensor>(x: T): T {
  const operation = tf.customGrad((input, save) => {
    const y = tf.relu(input as tf.Tensor);
    (save as tf.GradSaveFunc)([y]);
    return { value: y, gradFunc: (dy: tf.Tensor, saved: tf.Tensor[]) => tf.mul(dy, tf.step(saved[0] as tf.Tensor)) };
  });
  return operation(x) as T;
}
