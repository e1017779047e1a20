import type { Value } from "../../graph";
import { required, type Values } from "../../kernels/rule";
import { defineKernel, together } from "../../ops/kernel";
import { tf } from "../../tf";
import { emitForward, type Activations } from "./forward";
import { emitGradient } from "./gradient";
import type { MixturePlan } from "./plan";

/** Inputs of a mixture, in blocked layout; forward.ts gives their shapes. */
interface MixtureTensors {
  x: tf.Tensor;
  filters: tf.Tensor;
  gamma1: tf.Tensor;
  beta1: tf.Tensor;
  gamma2: tf.Tensor;
  beta2: tf.Tensor;
  presence: tf.Tensor;
}

/** Batch moments per channel of all branches, concatenated; no derivative flows through them. */
interface MixtureMoments {
  mean1: tf.Tensor;
  variance1: tf.Tensor;
  mean2: tf.Tensor;
  variance2: tf.Tensor;
}

const MOMENTS = ["mean1", "variance1", "mean2", "variance2"] as const;
const INPUTS = ["x", "filters", "gamma1", "gamma2", "presence"] as const;
const GRADIENTS = ["x", "filters", "gamma1", "beta1", "gamma2", "beta2", "presence"] as const;

/**
 * The activations as the list that a kernel returns: pooled x (x itself if no branch works at half resolution), then those of each
 * branch.
 */
function listed(x: Value, { pooled, hidden, active, last }: Activations): Value[] {
  return [pooled ?? x, ...hidden, ...active, ...last];
}

/** The inverse of `listed`, for inputs whose names are their numbers. */
function unlisted(plan: MixturePlan, values: Values): Activations & { y: Value } {
  const k = plan.branches.length;
  const at = (index: number) => required(values, `saved${index}`);
  const branch = (first: number) => plan.branches.map((_, index) => at(first + index));
  const [y, mean1, variance1, mean2, variance2] = [0, 1, 2, 3, 4].map(at) as [Value, Value, Value, Value, Value];
  const halves = plan.branches.some(({ scale }) => scale === 2);
  return {
    y,
    ...{ mean1, variance1, mean2, variance2 },
    ...(halves && { pooled: at(5) }),
    hidden: branch(6),
    active: branch(6 + k),
    last: branch(6 + 2 * k),
  };
}

const gradientKernel = defineKernel<MixturePlan>({
  name: "LatheBlockedMixtureGradient",
  traced: (r, inputs, plan: MixturePlan) => {
    const [x, filters, gamma1, gamma2, presence] = INPUTS.map((name) => required(inputs, name)) as [
      Value,
      Value,
      Value,
      Value,
      Value,
    ];
    const given = { x, filters, gamma1, gamma2, presence };
    const gradients = emitGradient(r, plan, given, unlisted(plan, inputs), required(inputs, "dy"));
    return GRADIENTS.map((name) => gradients[name]);
  },
});

const kernel = defineKernel<MixturePlan>({
  name: "LatheBlockedMixture",
  traced: (r, inputs, plan: MixturePlan) => {
    const [x, filters, gamma1, beta1, gamma2, beta2, presence] = GRADIENTS.map((name) => required(inputs, name)) as [
      Value,
      Value,
      Value,
      Value,
      Value,
      Value,
      Value,
    ];
    const { y, ...saved } = emitForward(r, plan, { x, filters, gamma1, beta1, gamma2, beta2, presence });
    return [y, ...MOMENTS.map((name) => saved[name]), ...listed(x, saved)];
  },
  gradient: {
    saveInputs: INPUTS,
    // At least as many as the largest mixture has outputs; TF.js ignores flags beyond the last output.
    saveOutputs: Array.from({ length: 512 }, () => true),
    of: (dy, saved, plan) => {
      const given = Object.fromEntries([
        ...INPUTS.map((name, index) => [name, saved[index] as tf.Tensor]),
        ...saved.slice(INPUTS.length).map((tensor, index) => [`saved${index}`, tensor]),
        ["dy", dy],
      ]) as Record<string, tf.Tensor>;
      return together(GRADIENTS, () => gradientKernel(given, plan));
    },
  },
});

/**
 * A mixture in blocked layout: y [1, outputs, H, N*W] and its moments. Only the tracer has it; `obstacle` gives the cases in which it
 * must not be used.
 */
export function blockedMixture(plan: MixturePlan, inputs: MixtureTensors): { y: tf.Tensor } & MixtureMoments {
  const [y, mean1, variance1, mean2, variance2] = kernel({ ...inputs }, plan) as [
    tf.Tensor,
    tf.Tensor,
    tf.Tensor,
    tf.Tensor,
    tf.Tensor,
  ];
  return { y, mean1, variance1, mean2, variance2 };
}
