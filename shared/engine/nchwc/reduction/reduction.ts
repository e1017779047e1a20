import { required } from "../../kernels/rule";
import { defineKernel, together } from "../../ops/kernel";
import { tf } from "../../tf";
import { emitReduction } from "./forward";
import { emitReductionGradient } from "./gradient";
import type { ReductionPlan } from "./plan";
import { emitStem, emitStemGradient } from "./stem";

/** Outputs of a reduction: y, blocked, and the batch moments per channel, through which no derivative flows. */
interface Reduced {
  y: tf.Tensor;
  mean: tf.Tensor;
  variance: tf.Tensor;
}

const SAVED = ["y", "mean", "variance", "h"] as const;
const SAVED_REDUCTION = [...SAVED, "columns", "pooled"] as const;

function byName(names: readonly string[], tensors: readonly tf.Tensor[]): Record<string, tf.Tensor> {
  return Object.fromEntries(names.map((name, index) => [name, tensors[index] as tf.Tensor]));
}

const reductionGradient = defineKernel<ReductionPlan>({
  name: "LatheBlockedReductionGradient",
  traced: (r, inputs, plan: ReductionPlan) => {
    const of = (name: string) => required(inputs, name);
    const saved = {
      ...{ y: of("y"), mean: of("mean"), variance: of("variance"), h: of("h") },
      ...{ columns: of("columns"), pooled: of("pooled") },
    };
    const given = { x: of("x"), filters: of("filters"), gamma: of("gamma") };
    const { x, filters, gamma, beta } = emitReductionGradient(r, plan, given, saved, of("dy"));
    return [x, filters, gamma, beta];
  },
});

const reduction = defineKernel<ReductionPlan>({
  name: "LatheBlockedReduction",
  traced: (r, inputs, plan: ReductionPlan) => {
    const of = (name: string) => required(inputs, name);
    const given = { x: of("x"), filters: of("filters"), gamma: of("gamma"), beta: of("beta") };
    const values = emitReduction(r, plan, given);
    return SAVED_REDUCTION.map((name) => values[name]);
  },
  gradient: {
    saveInputs: ["x", "filters", "gamma"],
    saveOutputs: SAVED_REDUCTION.map(() => true),
    of: (dy, saved, plan) =>
      together(["x", "filters", "gamma", "beta"], () =>
        reductionGradient({ ...byName(["x", "filters", "gamma", ...SAVED_REDUCTION], saved), dy }, plan),
      ),
  },
});

const stemGradient = defineKernel<ReductionPlan>({
  name: "LatheBlockedStemGradient",
  traced: (r, inputs, plan: ReductionPlan) => {
    const of = (name: string) => required(inputs, name);
    const saved = { y: of("y"), mean: of("mean"), variance: of("variance"), h: of("h") };
    const given = { images: of("images"), gamma: of("gamma") };
    const { filters, gamma, beta } = emitStemGradient(r, plan, given, saved, of("dy"));
    return [filters, gamma, beta];
  },
});

const stem = defineKernel<ReductionPlan>({
  name: "LatheBlockedStem",
  traced: (r, inputs, plan: ReductionPlan) => {
    const of = (name: string) => required(inputs, name);
    const given = { images: of("images"), filters: of("filters"), gamma: of("gamma"), beta: of("beta") };
    const values = emitStem(r, plan, given);
    return SAVED.map((name) => values[name]);
  },
  gradient: {
    saveInputs: ["images", "gamma"],
    saveOutputs: SAVED.map(() => true),
    of: (dy, saved, plan) =>
      together(["filters", "gamma", "beta"], () =>
        stemGradient({ ...byName(["images", "gamma", ...SAVED], saved), dy }, plan),
      ),
  },
});

function reduced(outputs: tf.Tensor[]): Reduced {
  const [y, mean, variance] = outputs as [tf.Tensor, tf.Tensor, tf.Tensor];
  return { y, mean, variance };
}

/** A reduction in blocked layout: x [1, input, H, N*W], filters in squares, gamma and beta [output]. Only the tracer has it. */
export function reduce(plan: ReductionPlan, inputs: Record<"x" | "filters" | "gamma" | "beta", tf.Tensor>): Reduced {
  return reduced(reduction({ ...inputs }, plan));
}

/** The same for plain images [N, inputs, H, W] with fewer channels than a tile; images have no derivative. */
export function reduceImages(
  plan: ReductionPlan,
  inputs: Record<"images" | "filters" | "gamma" | "beta", tf.Tensor>,
): Reduced {
  return reduced(stem({ ...inputs }, plan));
}
