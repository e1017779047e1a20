import { gate } from "../process/gate";
import type { MemoryAccount } from "./account";
import type { CompiledStep } from "./session";
import { checkInputs, checkInto, outputSignature, type Arrays, type Signature, type Step } from "./signature";
import { onBackend, tf } from "./tf";
import { trace } from "./tracer";

/**
 * A step that a TF.js backend runs op by op. It is also traced, to find its outputs and its memory and to refuse the same steps as the
 * tracer.
 */
export function compileEager(
  step: Step,
  signature: Signature,
  name: string,
  backend: "cpu" | "tensorflow",
  account?: MemoryAccount,
): CompiledStep {
  const { graph, outputs } = trace(step, signature);
  const leave = account?.admit(name, graph);
  const outputTypes = outputSignature(outputs);
  return {
    nodes: graph.nodes.length,
    outputs: outputTypes,
    run: async (inputs, into = {}) => {
      await gate.pass();
      checkInputs(inputs, signature);
      checkInto(into, outputTypes, inputs);
      return onBackend(backend, () => evaluate(step, signature, inputs, into));
    },
    release: () => Promise.resolve(leave?.()),
  };
}

function evaluate(step: Step, signature: Signature, inputs: Arrays, into: Arrays): Arrays {
  const results: Arrays = {};
  withoutLeaks(() => {
    const tensors = Object.entries(signature).map(([name, { shape, dtype }]): [string, tf.Tensor] => [
      name,
      // Copied, because an eager backend may keep the array that it receives.
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
 * tf.tidy that also frees the tensors that the step keeps by tf.keep. A step must keep tensors that it carries out of a loss function
 * under differentiation, and nothing else would free them after the step.
 */
function withoutLeaks(body: () => void): void {
  const engine = tf.engine();
  const kept: tf.Tensor[] = [];
  const keep = engine.keep.bind(engine);
  // Shadows the method of the prototype during the step.
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
