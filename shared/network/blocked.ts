import { fromBlocked } from "../engine/nchwc/layout";
import { blockedMixture } from "../engine/nchwc/mixture/mixture";
import { depthwises } from "../engine/nchwc/mixture/plan";
import { filledUp, type ReductionPlan } from "../engine/nchwc/reduction/plan";
import { reduce, reduceImages } from "../engine/nchwc/reduction/reduction";
import { take } from "../engine/ops/take";
import { scoped } from "../engine/scope";
import { upTo } from "../engine/signature";
import { tf } from "../engine/tf";
import type { SearchSpace } from "../proto/lathe/v1/space";
import { searchedHead } from "../space/head";
import { at, type LiveBlock, type LiveStage } from "../space/live";
import { strideOf } from "../space/parts";
import { blockedTables, type BlockedTables } from "./blockedLayout";
import { blockedPlans, planFor, type PlannedBlock } from "./blockedPlans";
import type { BlockFactors } from "./factors";
import { headLogits } from "./heads";
import { named, padChannels, type Norm, type Tensors } from "./layers";
import { scalesOf } from "./mixture";
import {
  blockDropout,
  exitSum,
  supernetLogits,
  type DeclaredSupernet,
  type StageChoices,
  type Supernet,
} from "./supernet";

/** A supernet that computes in ONNX Runtime's blocked layout up to its head: the same function, flat vectors in another order. */
type BlockedSupernet = Supernet & BlockedTables;

/**
 * The blocked formulation of a supernet's training steps at a batch size, with tiles of `tile` channels; or the reason why a precondition
 * does not hold. Widths are padded to whole tiles with channels of zeros, which stay zero because their derivatives are zero.
 */
export function blockedSupernet(supernet: DeclaredSupernet, batch: number, tile: number): BlockedSupernet | string {
  const { space, stages } = supernet;
  const head = searchedHead(space);
  const plain = plainOrder(space, batch);
  // The exits of a stage and their presence are vectors of all its channels.
  const uneven = stages.find(({ channels }) => channels % tile !== 0);
  if (uneven) return `${uneven.name} has ${uneven.channels} channels, not a multiple of ${tile}`;
  const plans = blockedPlans(supernet, batch, tile);
  if (typeof plans === "string") return plans;
  return {
    ...supernet,
    ...blockedTables(supernet, plans),
    logits: supernetLogits(stages, {
      sizesOf: ({ name }) => {
        const { branches, outputs } = planFor(plans.mixtures, name).plan;
        return {
          middles: branches.map(({ middle }) => middle),
          outputs: branches.map(({ output }) => output),
          presence: outputs,
        };
      },
      stem: (weights, images, norm) => blockedStem(weights, planFor(plans.reductions, "stem"), images, norm),
      reduction: (weights, name, x, norm, presence) =>
        blockedReduction(weights, name, planFor(plans.reductions, name), x, norm, presence),
      stage: (weights, stage, choices, input, norm, dropouts) =>
        blockedStage(weights, stage, choices, input, norm, plans.mixtures, dropouts),
      head: (weights, features, norm, factors) => {
        // The search head does not read the stem.
        const stem = head.kind === "search" ? features.stem : plain(features.stem, space.stemChannels, 2);
        const outputs = features.outputs.map((x, s) => plain(x, at(stages, s).outputs, strideOf(s + 1)));
        return headLogits(head, weights, { stem, outputs }, norm, { factors });
      },
    }),
  };
}

/** Returns a function that brings features of a blocked layout, at 1/stride of the input, into plain order: [N,channels,H/stride,W/stride]. */
export function plainOrder(
  { inputHeight, inputWidth }: Pick<SearchSpace, "inputHeight" | "inputWidth">,
  batch: number,
) {
  return (x: tf.Tensor, channels: number, stride: number): tf.Tensor =>
    fromBlocked(x, [batch, channels, inputHeight / stride, inputWidth / stride]);
}

/** A stage in blocked layout: from the output of its reduction to the mixture of its exits. */
function blockedStage(
  weights: Tensors,
  stage: LiveStage,
  choices: StageChoices,
  input: tf.Tensor,
  norm: Norm,
  plans: ReadonlyMap<string, PlannedBlock>,
  dropouts: Tensors,
): tf.Tensor {
  const outputs: tf.Tensor[] = [];
  let x = input;
  stage.blocks.forEach((block, b) => {
    const from = x;
    const mixture = planFor(plans, block.name);
    x = scoped(block.name, () =>
      blockedBlock(weights, mixture, at(choices.blocks, b), from, norm, blockedDropout(mixture, dropouts)),
    );
    if (stage.exits.includes(b + 1)) outputs.push(x);
  });
  const widest = Math.max(...outputs.map(({ shape }) => shape[1] as number));
  const wide = outputs.map((output) => padChannels(output, widest));
  return exitSum(wide, choices.depth);
}

export function blockedBlock(
  weights: Tensors,
  { block, plan }: PlannedBlock,
  factors: BlockFactors,
  x: tf.Tensor,
  norm: Norm,
  dropout?: tf.Tensor,
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
    filters: named(weights, `${block.name}/filters`),
    depthwise: depthwises(plan).length > 0 ? named(weights, `${block.name}/depthwise`) : undefined,
    ...{ gamma1, beta1, gamma2, beta2 },
    presence: factors.presence ?? shared(block, plan.outputs),
    dropout,
  });
  norm.record?.(`${block.name}/norm1`, mean1, variance1);
  norm.record?.(`${block.name}/norm2`, mean2, variance2);
  return y;
}

/** The factors of a block's channel dropout in the order of the mixture, where its inputs hold them. Channels that fill up a tile get 0. */
function blockedDropout({ block, plan }: PlannedBlock, dropouts: Tensors): tf.Tensor | undefined {
  const inputs = scalesOf(block).flatMap((scale) => dropouts[blockDropout(block, scale)] ?? []);
  if (inputs.length === 0) return undefined;
  const { batch, tile } = plan;
  const widths = block.operations.map(({ outputWidth }) => outputWidth);
  const channels = widths.reduce((sum, width) => sum + width, 0);
  // [N, channels]: the operations are in order of their scales.
  const factors = tf.concat(
    inputs.map((each) => tf.reshape(each, [batch, -1])),
    1,
  );
  let first = 0;
  const source = plan.branches.flatMap(({ output }, branch) => {
    const width = at(widths, branch);
    const places = upTo(output * batch).map((place) => {
      const [image, lane] = [Math.floor(place / tile) % batch, place % tile];
      const channel = Math.floor(place / (tile * batch)) * tile + lane;
      return channel < width ? image * channels + first + channel : -1;
    });
    first += width;
    return places;
  });
  return take(factors, source);
}

/** 1 on the channels that input and output share, then 0; [count]. */
function shared({ inputs, outputs }: LiveBlock, count: number): tf.Tensor {
  return tf.tensor1d(Float32Array.from({ length: count }, (_, c) => (c < Math.min(inputs, outputs) ? 1 : 0)));
}

/** The stem in blocked layout: images [N,3,H,W] in plain order -> [1, output, H/2, N*W/2]. */
export function blockedStem(weights: Tensors, plan: ReductionPlan, images: tf.Tensor, norm: Norm): tf.Tensor {
  const { y, mean, variance } = reduceImages(plan, { images, ...tensorsOf(weights, "stem") });
  norm.record?.("stem/norm", mean, variance);
  return y;
}

/**
 * A reduction in blocked layout, [1, input, H, N*W] -> [1, output, H/2, N*W/2]. presence [inputs]: expected presence of the input's
 * channels. Absent: all are present.
 */
export function blockedReduction(
  weights: Tensors,
  name: string,
  plan: ReductionPlan,
  x: tf.Tensor,
  norm: Norm,
  presence?: tf.Tensor,
): tf.Tensor {
  const { filters, gamma, beta } = tensorsOf(weights, name);
  const masked = (values: tf.Tensor) => (presence ? tf.mul(values, maskOf(plan, presence)) : values);
  const { y, mean, variance } = reduce(plan, { x, filters, gamma: masked(gamma), beta: masked(beta) });
  norm.record?.(`${name}/norm`, mean, variance);
  return y;
}

/** Presence of the output's channels: 1 for those of the convolution, then the input's presence, 0 for padding of the last tile. */
function maskOf(plan: ReductionPlan, presence: tf.Tensor): tf.Tensor {
  const filling = filledUp(plan).output - plan.convolution - plan.inputs;
  const parts = [tf.ones([plan.convolution]), presence];
  return tf.concat(filling > 0 ? [...parts, tf.zeros([filling])] : parts);
}

function tensorsOf(weights: Tensors, name: string) {
  return {
    filters: named(weights, `${name}/conv`),
    gamma: named(weights, `${name}/norm/gamma`),
    beta: named(weights, `${name}/norm/beta`),
  };
}
