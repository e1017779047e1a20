import { fromBlocked } from "../engine/nchwc/layout";
import { blockedMixture } from "../engine/nchwc/mixture/mixture";
import { obstacle, type MixturePlan } from "../engine/nchwc/mixture/plan";
import { reductionObstacle, type ReductionPlan } from "../engine/nchwc/reduction/plan";
import { manifest } from "../engine/parameters";
import { scoped } from "../engine/scope";
import { tf } from "../engine/tf";
import { at, type LiveBlock, type LiveStage } from "../space/live";
import { stemReduction, type ReductionChannels } from "../space/parts";
import { blockedLayout, type BlockedLayout, type BlockedPlans } from "./blockedLayout";
import { blockedReduction, blockedStem } from "./blockedReduction";
import { searchHead } from "./heads";
import { EPSILON, named, padChannels, type Norm, type Tensors } from "./layers";
import type { BlockFactors } from "./factors";
import { exitSum, supernetLogits, type DeclaredSupernet, type StageChoices, type Supernet } from "./supernet";

/** A supernet that is computed in ONNX Runtime's blocked layout up to its head: the same function, its vectors in another order. */
export interface BlockedSupernet extends Supernet {
  layout: Record<"weights" | "stats", BlockedLayout>;
}

/**
 * The blocked formulation of a supernet's training steps at a batch size, for blocks of `block` channels; where a precondition does
 * not hold, the reason instead. Widths are filled up to whole blocks with channels of zeros, which stay zero: their derivatives are.
 */
export function blockedSupernet(supernet: DeclaredSupernet, batch: number, block: number): BlockedSupernet | string {
  const plans = plansOf(supernet, batch, block);
  if (typeof plans === "string") return plans;
  const { space, stages } = supernet;
  const layout = {
    weights: blockedLayout(supernet.weights, stages, plans),
    stats: blockedLayout(supernet.stats, stages, plans),
  };
  return {
    ...supernet,
    weights: manifest(layout.weights.entries),
    stats: manifest(layout.stats.entries),
    layout,
    logits: supernetLogits(stages, {
      sizesOf: ({ name }) => {
        const { branches, outputs } = planFor(plans.mixtures, name);
        return {
          middles: branches.map(({ middle }) => middle),
          outputs: branches.map(({ output }) => output),
          presence: outputs,
        };
      },
      stem: (weights, images, norm) => blockedStem(weights, planFor(plans.reductions, "stem"), images, norm),
      reduction: (weights, name, x, norm, presence) =>
        blockedReduction(weights, name, planFor(plans.reductions, name), x, norm, presence),
      stage: (weights, stage, choices, input, norm) =>
        blockedStage(weights, stage, choices, input, norm, plans.mixtures),
      head: (weights, x) => {
        const last = at(stages, stages.length - 1);
        const [h, w] = [space.inputHeight, space.inputWidth].map((size) => size / 2 ** (stages.length + 1));
        return searchHead(weights, fromBlocked(x, [batch, last.outputs, h as number, w as number]));
      },
    }),
  };
}

/** The plans of all parts, or why there are none. */
function plansOf({ space, stages }: Supernet, batch: number, block: number): BlockedPlans | string {
  const mixtures = new Map<string, MixturePlan>();
  const reductions = new Map<string, ReductionPlan>();
  let size = { batch, height: space.inputHeight, width: space.inputWidth };
  const reduce = (name: string, { input: inputs, convolution }: ReductionChannels) => {
    const plan = { block, ...size, inputs, convolution, epsilon: EPSILON };
    reductions.set(name, plan);
    size = { ...size, height: size.height / 2, width: size.width / 2 };
    const why = reductionObstacle(plan);
    return why && `${name}: ${why}`;
  };
  const why = reduce("stem", stemReduction(space));
  if (why) return why;
  for (const stage of stages) {
    if (stage.dropout > 0) return `${stage.name} drops channels out`;
    if (stage.channels % block !== 0) return `${stage.name} has ${stage.channels} channels, not a multiple of ${block}`;
    const why = reduce(`${stage.name}/reduction`, stage.reduction);
    if (why) return why;
    for (const entry of stage.blocks) {
      const plan = planOf(entry, size, block);
      const why = obstacle(plan);
      if (why !== undefined) return `${entry.name}: ${why}`;
      mixtures.set(entry.name, plan);
    }
  }
  return { mixtures, reductions };
}

function planFor<Plan>(plans: ReadonlyMap<string, Plan>, part: string): Plan {
  const plan = plans.get(part);
  if (!plan) throw new Error(`no plan for ${part}`);
  return plan;
}

function planOf(
  { operations, inputs, outputs }: LiveBlock,
  size: { batch: number; height: number; width: number },
  block: number,
): MixturePlan {
  const whole = (channels: number) => Math.ceil(channels / block) * block;
  return {
    block,
    ...size,
    inputs: whole(inputs),
    outputs: whole(outputs),
    branches: operations.map(({ operation, middleWidth, outputWidth }) => ({
      scale: operation.scale as 1 | 2,
      dilation: operation.dilation,
      middle: whole(middleWidth),
      output: whole(outputWidth),
    })),
    epsilon: EPSILON,
  };
}

/** A stage, of its reduction's output and to that of its exits, both blocked. */
function blockedStage(
  weights: Tensors,
  stage: LiveStage,
  choices: StageChoices,
  input: tf.Tensor,
  norm: Norm,
  plans: ReadonlyMap<string, MixturePlan>,
): tf.Tensor {
  const outputs: tf.Tensor[] = [];
  let x = input;
  stage.blocks.forEach((block, b) => {
    const from = x;
    const plan = planFor(plans, block.name);
    x = scoped(block.name, () => blockedBlock(weights, block, at(choices.blocks, b), from, norm, plan));
    if (stage.exits.includes(b + 1)) outputs.push(x);
  });
  const widest = Math.max(...outputs.map(({ shape }) => shape[1] as number));
  return exitSum(
    outputs.map((output) => padChannels(output, widest)),
    choices.depth,
  );
}

function blockedBlock(
  weights: Tensors,
  block: LiveBlock,
  factors: BlockFactors,
  x: tf.Tensor,
  norm: Norm,
  plan: MixturePlan,
): tf.Tensor {
  const masked = (layer: "norm1" | "norm2", mask: tf.Tensor | undefined) =>
    (["gamma", "beta"] as const).map((kind) => {
      const values = named(weights, `${block.name}/${layer}/${kind}`);
      return mask ? tf.mul(values, mask) : values;
    }) as [tf.Tensor, tf.Tensor];
  const [gamma1, beta1] = masked("norm1", factors.middle);
  const [gamma2, beta2] = masked("norm2", factors.output);
  const { y, mean1, variance1, mean2, variance2 } = blockedMixture(plan, {
    x,
    kernels: named(weights, `${block.name}/kernels`),
    ...{ gamma1, beta1, gamma2, beta2 },
    presence: factors.presence ?? shared(block, plan.outputs),
  });
  norm.record?.(`${block.name}/norm1`, mean1, variance1);
  norm.record?.(`${block.name}/norm2`, mean2, variance2);
  return y;
}

/** 1 on the channels that input and output share, 0 behind them, [count]. */
function shared({ inputs, outputs }: LiveBlock, count: number): tf.Tensor {
  return tf.tensor1d(Float32Array.from({ length: count }, (_, c) => (c < Math.min(inputs, outputs) ? 1 : 0)));
}
