import { LatheError } from "../process/errors";
import type { CompiledStep } from "./session";
import { checkInputs, checkInto, type Arrays, type DType, type Signature, type Step } from "./signature";
import { onBackend, tf } from "./tf";
import { trace } from "./tracer";

/** A step that is run op by op on a TF.js backend; it is traced as well, to know its outputs and to refuse the same steps. */
export function compileEager(step: Step, signature: Signature, backend: "cpu" | "tensorflow"): CompiledStep {
  const { graph, outputs } = trace(step, signature);
  const outputSignature = Object.fromEntries(
    outputs.map((name, i) => [name, { shape: graph.outputs[i]?.shape ?? [], dtype: graph.outputs[i]?.dtype as DType }]),
  );
  for (const [name, { dtype }] of Object.entries(outputSignature)) {
    if (dtype !== "float32" && dtype !== "int32")
      throw new LatheError("INVALID_ARGUMENT", `output "${name}" is ${String(dtype)}, must be float32 or int32`);
  }
  return {
    nodes: graph.nodes.length,
    outputs: outputSignature,
    // eslint-disable-next-line @typescript-eslint/require-await -- one interface with engines that do wait
    run: async (inputs, into = {}) => {
      checkInputs(inputs, signature);
      checkInto(into, outputSignature, inputs);
      return onBackend(backend, () => evaluate(step, signature, inputs, into));
    },
    release: () => Promise.resolve(),
  };
}

function evaluate(step: Step, signature: Signature, inputs: Arrays, into: Arrays): Arrays {
  const results: Arrays = {};
  withoutLeaks(() => {
    const tensors = Object.entries(signature).map(([name, { shape, dtype }]): [string, tf.Tensor] => [
      name,
      // A copy, as an eager backend may keep the array it is given.
      tf.tensor((inputs[name] as Float32Array).slice(), [...shape], dtype),
    ]);
    for (const [name, tensor] of Object.entries(step(Object.fromEntries(tensors)))) {
      const values = tensor.dataSync<"float32" | "int32">();
      const target = into[name];
      if (target !== undefined) target.set(values);
      results[name] = target ?? values.slice();
    }
  });
  return results;
}

/**
 * tf.tidy that also frees what the step saves by tf.keep: a step must keep what it carries out of a loss function under
 * differentiation, and nobody would free it when the step is over.
 */
function withoutLeaks(body: () => void): void {
  const engine = tf.engine();
  const kept: tf.Tensor[] = [];
  const keep = engine.keep.bind(engine);
  // Shadows the method of the prototype for the time of the step.
  engine.keep = (tensor) => {
    kept.push(tensor);
    return keep(tensor);
  };
  try {
    tf.tidy(body);
  } finally {
    Reflect.deleteProperty(engine, "keep");
    for (const tensor of kept) tensor.dispose();
  }
}
