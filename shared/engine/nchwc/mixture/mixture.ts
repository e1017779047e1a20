import type { Value } from "../../graph";
import { required, requiredAll, type Values } from "../../kernels/rule";
import { byName, defineKernel, together } from "../../ops/kernel";
import type { tf } from "../../tf";
import { emitForward, type Activations, type MixtureInputs } from "./forward";
import { emitGradient } from "./gradient";
import { depthwises, type MixturePlan } from "./plan";

const MOMENTS = ["mean1", "variance1", "mean2", "variance2"] as const;
const INPUTS = ["x", "filters", "gamma1", "gamma2", "presence"] as const;
const GRADIENTS = ["x", "filters", "gamma1", "beta1", "gamma2", "beta2", "presence"] as const;

/** The inputs that have a derivative: those of every mixture, and the filters of depthwise convolutions where it has any. */
const gradientsOf = (plan: MixturePlan) => [
  ...GRADIENTS,
  ...(depthwises(plan).length > 0 ? (["depthwise"] as const) : []),
];

/**
 * The activations as the list that a kernel returns: pooled x (x itself if no branch works at half resolution), then those of each
 * branch, then the outputs of the depthwise convolutions.
 */
function listed(plan: MixturePlan, x: Value, { pooled, hidden, active, last, spread }: Activations): Value[] {
  const behind = depthwises(plan).map(({ layer, branch }) => spread[layer][branch] as Value);
  return [pooled ?? x, ...hidden, ...active, ...last, ...behind];
}

/** The inverse of `listed`, for inputs whose names are their numbers. */
function unlisted(plan: MixturePlan, values: Values): Activations & { y: Value } {
  const k = plan.branches.length;
  const at = (index: number) => required(values, `saved${index}`);
  const branch = (first: number) => plan.branches.map((_, index) => at(first + index));
  const [y, mean1, variance1, mean2, variance2] = [0, 1, 2, 3, 4].map(at) as [Value, Value, Value, Value, Value];
  const halves = plan.branches.some(({ scale }) => scale === 2);
  const spread: Activations["spread"] = { 1: [], 2: [] };
  depthwises(plan).forEach((each, index) => (spread[each.layer][each.branch] = at(6 + 3 * k + index)));
  return {
    y,
    ...{ mean1, variance1, mean2, variance2 },
    ...(halves && { pooled: at(5) }),
    hidden: branch(6),
    active: branch(6 + k),
    last: branch(6 + 2 * k),
    spread,
  };
}

const gradientKernel = defineKernel<MixturePlan>({
  name: "LatheBlockedMixtureGradient",
  traced: (r, inputs, plan: MixturePlan) => {
    const given = requiredAll(inputs, INPUTS);
    const read = { ...given, dropout: inputs.dropout, depthwise: inputs.depthwise };
    const gradients = emitGradient(r, plan, read, unlisted(plan, inputs), required(inputs, "dy"));
    return gradientsOf(plan).map((name) => gradients[name] as Value);
  },
});

/** A mixture whose derivative reads these of its inputs. TF.js saves the same inputs at each call of a kernel. */
const mixtureKernel = (name: string, read: readonly string[]) =>
  defineKernel<MixturePlan>({
    name,
    traced: (r, inputs, plan: MixturePlan) => {
      const given = requiredAll(inputs, GRADIENTS);
      const { y, ...saved } = emitForward(r, plan, {
        ...given,
        ...{ dropout: inputs.dropout, depthwise: inputs.depthwise },
      });
      return [y, ...MOMENTS.map((moment) => saved[moment]), ...listed(plan, given.x, saved)];
    },
    gradient: {
      saveInputs: read,
      // At least as many as the largest mixture has outputs; TF.js ignores flags beyond the last output.
      saveOutputs: Array.from({ length: 512 }, () => true),
      of: (dy, saved, plan) => {
        const outputs = saved.slice(read.length).map((tensor, index) => [`saved${index}`, tensor] as const);
        const given = { ...byName(read, saved), ...Object.fromEntries(outputs), dy };
        return together(gradientsOf(plan), () => gradientKernel(given, plan));
      },
    },
  });

/** The kernels by the optional inputs that they read. */
const kernels = {
  "": mixtureKernel("LatheBlockedMixture", INPUTS),
  depthwise: mixtureKernel("LatheBlockedMixtureDepthwise", [...INPUTS, "depthwise"]),
  dropout: mixtureKernel("LatheBlockedMixtureDropped", [...INPUTS, "dropout"]),
  "depthwise,dropout": mixtureKernel("LatheBlockedMixtureDepthwiseDropped", [...INPUTS, "depthwise", "dropout"]),
};

type Optional = "depthwise" | "dropout";

/** Batch moments per channel of all branches, concatenated; no derivative flows through them. */
type MixtureMoments = Record<(typeof MOMENTS)[number], tf.Tensor>;

/**
 * A mixture in blocked layout: y [1, outputs, H, N*W] and its moments; forward.ts gives the shapes of the inputs. Only the tracer has it;
 * `mixtureObstacle` gives the cases in which it must not be used.
 */
export function blockedMixture(
  plan: MixturePlan,
  {
    depthwise,
    dropout,
    ...inputs
  }: Record<keyof Omit<MixtureInputs, Optional>, tf.Tensor> & Partial<Record<Optional, tf.Tensor | undefined>>,
): { y: tf.Tensor } & MixtureMoments {
  const filtered = depthwise ? { ...inputs, depthwise } : inputs;
  const outputs = dropout
    ? kernels[depthwise ? "depthwise,dropout" : "dropout"]({ ...filtered, dropout }, plan)
    : kernels[depthwise ? "depthwise" : ""](filtered, plan);
  return byName(["y", ...MOMENTS], outputs);
}
