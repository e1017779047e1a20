import { required, requiredAll } from "../../kernels/rule";
import { byName, defineKernel, together } from "../../ops/kernel";
import type { tf } from "../../tf";
import { emitReduction } from "./forward";
import { emitReductionGradient } from "./gradient";
import type { ReductionPlan } from "./plan";
import { emitStem, emitStemGradient } from "./stem";

/** Outputs of a reduction: y, blocked, and the batch moments per channel, through which no derivative flows. */
const REDUCED = ["y", "mean", "variance"] as const;
type Reduced = Record<(typeof REDUCED)[number], tf.Tensor>;

const SAVED = [...REDUCED, "h"] as const;
const SAVED_REDUCTION = [...SAVED, "columns", "pooled"] as const;

const reductionGradient = defineKernel<ReductionPlan>({
  name: "LatheBlockedReductionGradient",
  traced: (r, inputs, plan: ReductionPlan) => {
    const given = requiredAll(inputs, ["x", "filters", "gamma"]);
    const saved = requiredAll(inputs, SAVED_REDUCTION);
    const { x, filters, gamma, beta } = emitReductionGradient(r, plan, given, saved, required(inputs, "dy"));
    return [x, filters, gamma, beta];
  },
});

const reduction = defineKernel<ReductionPlan>({
  name: "LatheBlockedReduction",
  traced: (r, inputs, plan: ReductionPlan) => {
    const values = emitReduction(r, plan, requiredAll(inputs, ["x", "filters", "gamma", "beta"]));
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
    const given = requiredAll(inputs, ["images", "gamma"]);
    const saved = requiredAll(inputs, SAVED);
    const { filters, gamma, beta } = emitStemGradient(r, plan, given, saved, required(inputs, "dy"));
    return [filters, gamma, beta];
  },
});

const stem = defineKernel<ReductionPlan>({
  name: "LatheBlockedStem",
  traced: (r, inputs, plan: ReductionPlan) => {
    const values = emitStem(r, plan, requiredAll(inputs, ["images", "filters", "gamma", "beta"]));
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

/** A reduction in blocked layout: x [1, input, H, N*W], filters in squares, gamma and beta [output]. Only the tracer has it. */
export function reduce(plan: ReductionPlan, inputs: Record<"x" | "filters" | "gamma" | "beta", tf.Tensor>): Reduced {
  return byName(REDUCED, reduction({ ...inputs }, plan));
}

/** The same for plain images [N, inputs, H, W] with fewer channels than a tile; images have no derivative. */
export function reduceImages(
  plan: ReductionPlan,
  inputs: Record<"images" | "filters" | "gamma" | "beta", tf.Tensor>,
): Reduced {
  return byName(REDUCED, stem({ ...inputs }, plan));
}
