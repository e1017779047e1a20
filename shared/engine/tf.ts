import * as tf from "@tensorflow/tfjs";

// The union package registers the gradients. Without production mode, its CPU backend prints a banner on first use.
tf.enableProdMode();
// Set here because the first op would otherwise probe for WebGL. The CPU backend initialises synchronously.
void tf.setBackend("cpu");

/** Runs a synchronous function on a registered backend and puts the previous backend back; the backend must initialise synchronously. */
export function onBackend<T>(name: string, body: () => T): T {
  const previous = tf.getBackend();
  if (previous === name) return body();
  void tf.setBackend(name);
  if (tf.getBackend() !== name) throw new Error(`TF.js backend "${name}" did not initialise`);
  try {
    return body();
  } finally {
    void tf.setBackend(previous);
  }
}

export { tf };
