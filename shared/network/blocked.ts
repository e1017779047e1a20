import { fromBlocked, intoBlocked } from "../engine/nchwc/layout";
import { blockedMixture } from "../engine/nchwc/mixture";
import { obstacle, type MixturePlan } from "../engine/nchwc/plan";
import { manifest } from "../engine/parameters";
import { scoped } from "../engine/scope";
import { tf } from "../engine/tf";
import { blockedLayout, type BlockedLayout } from "./blockedLayout";
import { EPSILON, named, padChannels, type Norm, type Tensors } from "./layers";
import { at, type LiveBlock, type LiveStage } from "./live";
import type { BlockFactors } from "./factors";
import { exitSum, supernetLogits, type StageChoices, type Supernet } from "./supernet";

/** A supernet whose search blocks are computed in ONNX Runtime's blocked layout: the same function, its vectors in another order. */
export interface BlockedSupernet extends Supernet {
  layout: Record<"weights" | "stats", BlockedLayout>;
}

/**
 * The blocked formulation of a supernet's training steps at a batch size, for blocks of `block` channels; where a precondition does
 * not hold, the reason instead. Widths are filled up to whole blocks with channels of zeros, which stay zero: their derivatives are.
 */
export function blockedSupernet(supernet: Supernet, batch: number, block: number): BlockedSupernet | string {
  const { space, stages } = supernet;
  const plans = new Map<string, MixturePlan>();
  let stride = 2;
  for (const stage of stages) {
    stride *= 2;
    if (stage.dropout > 0) return `${stage.name} drops channels out`;
    if (stage.channels % block !== 0) return `${stage.name} has ${stage.channels} channels, not a multiple of ${block}`;
    for (const entry of stage.blocks) {
      const plan = planOf(
        entry,
        { batch, height: space.inputHeight / stride, width: space.inputWidth / stride },
        block,
      );
      const why = obstacle(plan);
      if (why !== undefined) return `${entry.name}: ${why}`;
      plans.set(entry.name, plan);
    }
  }
  const layout = {
    weights: blockedLayout(supernet.weights, stages, plans, "weights"),
    stats: blockedLayout(supernet.stats, stages, plans, "stats"),
  };
  return {
    ...supernet,
    weights: manifest(layout.weights.entries),
    stats: manifest(layout.stats.entries),
    layout,
    logits: supernetLogits(
      stages,
      ({ name }) => {
        const { branches, outputs } = planFor(plans, name);
        return {
          middles: branches.map(({ middle }) => middle),
          outputs: branches.map(({ output }) => output),
          presence: outputs,
        };
      },
      (weights, stage, choices, input, norm) => blockedStage(weights, stage, choices, input, norm, plans),
    ),
  };
}

function planFor(plans: ReadonlyMap<string, MixturePlan>, block: string): MixturePlan {
  const plan = plans.get(block);
  if (!plan) throw new Error(`no plan for ${block}`);
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

/** A stage, [N,inputs,H,W] -> [N,outputs,H,W]; in between, values stay in blocked layout. */
function blockedStage(
  weights: Tensors,
  stage: LiveStage,
  choices: StageChoices,
  input: tf.Tensor,
  norm: Norm,
  plans: ReadonlyMap<string, MixturePlan>,
): tf.Tensor {
  const [n, , h, w] = input.shape as [number, number, number, number];
  const outputs: tf.Tensor[] = [];
  let x: tf.Tensor | undefined;
  stage.blocks.forEach((block, b) => {
    const plan = planFor(plans, block.name);
    const blocked = x ?? intoBlocked(input, plan.inputs);
    x = scoped(block.name, () => blockedBlock(weights, block, at(choices.blocks, b), blocked, norm, plan));
    if (stage.exits.includes(b + 1)) outputs.push(x);
  });
  const widest = Math.max(...outputs.map(({ shape }) => shape[1] as number));
  const total = exitSum(
    outputs.map((output) => padChannels(output, widest)),
    choices.depth,
  );
  return fromBlocked(total, [n, stage.outputs, h, w]);
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
