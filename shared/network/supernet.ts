import type { Manifest } from "../engine/parameters";
import { scoped } from "../engine/scope";
import { tf } from "../engine/tf";
import type { Architecture, SearchSpace } from "../proto/lathe/v1/space";
import { searchedHead } from "../space/head";
import { at, headChannels, liveHead, liveStages, type LiveBlock, type LiveStage } from "../space/live";
import { stemReduction } from "../space/parts";
import { declareAlphas, type Searched } from "./alphas";
import { declareReduction, reduction } from "./blocks";
import { axis, tensorTable, type Declaration, type TensorTable } from "./declaration";
import { channelFactors, headFactors, type FactorSizes, type HeadFactors, type StageFactors } from "./factors";
import { declareHead, headLogits, type Features } from "./heads";
import { padChannels, perChannel, type Norm, type Tensors } from "./layers";
import { atScale, declareMixture, mixture, scalesOf } from "./mixture";
import { exitProbabilities, relax, type Relaxation } from "./relaxation";

/** The network of all surviving candidates of a space: the tables of its tensors, and its function. */
export interface Supernet extends Searched {
  space: SearchSpace;
  architecture: Architecture;
  weights: Manifest;
  stats: Manifest;
  alphas: TensorTable;
  /** Inputs of channel dropout, by name: one factor per output channel of a block's operations at one scale. */
  dropouts: { name: string; channels: number; probability: number }[];
  /** Relaxed choices from flat architecture parameters. The network, SSR and the expected cost use them. */
  relax(alphas: tf.Tensor1D): Relaxation;
  /** Logits [N, classes, H/stride, W/stride] (searchStride) of images [N,3,H,W] under given choices. */
  logits(weights: Tensors, relaxation: Relaxation, images: tf.Tensor, norm: Norm, dropouts?: Tensors): tf.Tensor4D;
}

/** A supernet in the order of checkpoints, with the declaration of each tensor. */
export interface DeclaredSupernet extends Supernet {
  weights: TensorTable;
  stats: TensorTable;
}

/** Builds the supernet of a space with the survivors of an architecture (docs/method.md). */
export function buildSupernet(space: SearchSpace, architecture: Architecture): DeclaredSupernet {
  const stages = liveStages(space, architecture);
  const head = liveHead(space, architecture);
  const declaration: Declaration = { weights: [], stats: [] };
  const form = searchedHead(space);
  const stem = declareReduction(declaration, "stem", axis("image", 3), stemReduction(space).convolution);
  let x = stem;
  const outputs = stages.map((stage) => {
    x = declareReduction(declaration, `${stage.name}/reduction`, x, stage.reduction.convolution);
    for (const block of stage.blocks) x = declareMixture(declaration, block, x);
    x = axis(stage.name, stage.outputs);
    return x;
  });
  declareHead(declaration, form, { ...space, ...headChannels(head), stem, outputs });
  const alphas = tensorTable(declareAlphas({ stages, head }));
  return {
    ...{ space, architecture, stages, head },
    weights: tensorTable(declaration.weights),
    stats: tensorTable(declaration.stats),
    alphas,
    dropouts: dropoutsOf(stages),
    relax: (values) => scoped("choices", () => relax({ stages, head, alphas }, values)),
    logits: supernetLogits(stages, {
      ...plainParts,
      head: (weights, features, norm, factors) => headLogits(form, weights, features, norm, { factors }),
    }),
  };
}

/** The choices within a stage: factors of its channels, and p_d of its m exits, [m]. */
export interface StageChoices extends StageFactors {
  depth: tf.Tensor1D;
}

/** The functions of a supernet's parts, in order of execution. */
interface SupernetParts {
  /** Channels of a block's vectors of factors. */
  sizesOf: (block: LiveBlock) => FactorSizes;
  stem: (weights: Tensors, images: tf.Tensor, norm: Norm) => tf.Tensor;
  /** presence: expected presence of each channel of x. Absent: all are present. */
  reduction: (weights: Tensors, name: string, x: tf.Tensor, norm: Norm, presence?: tf.Tensor) => tf.Tensor;
  /** input: output of the stage's reduction. */
  stage: (
    weights: Tensors,
    stage: LiveStage,
    choices: StageChoices,
    input: tf.Tensor,
    norm: Norm,
    dropouts: Tensors,
  ) => tf.Tensor;
  head: (weights: Tensors, features: Features, norm: Norm, factors: HeadFactors) => tf.Tensor4D;
}

/** Composes the function of a supernet from the functions of its parts. */
export function supernetLogits(stages: readonly LiveStage[], parts: SupernetParts): Supernet["logits"] {
  return (weights, relaxation, images, norm, dropouts = {}) => {
    const choices = scoped("choices", () =>
      channelFactors(stages, relaxation, parts.sizesOf).map((factors, position) => ({
        ...factors,
        depth: exitProbabilities(relaxation, position, at(stages, position).exits.length),
      })),
    );
    const ofHead = scoped("choices", () => headFactors(relaxation));
    const stem = scoped("stem", () => parts.stem(weights, images, norm));
    let x = stem;
    const outputs = stages.map((stage, position) => {
      const name = `${stage.name}/reduction`;
      const presence = choices[position - 1]?.presence;
      const reduced = scoped(name, () => parts.reduction(weights, name, x, norm, presence));
      x = scoped(`${stage.name}/exits`, () =>
        parts.stage(weights, stage, at(choices, position), reduced, norm, dropouts),
      );
      return x;
    });
    return scoped("head", () => parts.head(weights, { stem, outputs }, norm, ofHead));
  };
}

const plainParts: Omit<SupernetParts, "head"> = {
  sizesOf: plainSizes,
  stem: (weights, images, norm) => reduction(weights, "stem", images, norm),
  reduction,
  stage: stageOutput,
};

function plainSizes({ operations, inputs, outputs }: LiveBlock): FactorSizes {
  return {
    middles: operations.map(({ middleChannels }) => middleChannels),
    outputs: operations.map(({ outputWidth }) => outputWidth),
    presence: Math.min(inputs, outputs),
  };
}

function stageOutput(
  weights: Tensors,
  stage: LiveStage,
  choices: StageChoices,
  input: tf.Tensor,
  norm: Norm,
  dropouts: Tensors,
): tf.Tensor {
  const outputs: tf.Tensor[] = [];
  let x = input;
  stage.blocks.forEach((block, b) => {
    const dropout = (scale: number) => dropouts[blockDropout(block, scale)];
    x = scoped(block.name, () => mixture(weights, block, at(choices.blocks, b), x, norm, dropout));
    if (stage.exits.includes(b + 1)) outputs.push(padChannels(x, stage.outputs));
  });
  return exitSum(outputs, choices.depth);
}

/** Depth relaxation: sum_d p_d * output of the block at exit d. With one exit left it is that block's output. depth: p_d, [m]. */
export function exitSum(outputs: readonly tf.Tensor[], depth: tf.Tensor): tf.Tensor {
  const [first] = outputs;
  if (first && outputs.length === 1) return first;
  const p = tf.split(depth, outputs.length);
  return tf.addN(outputs.map((output, index) => tf.mul(output, perChannel(p[index] ?? depth))));
}

/** Name of the input with the factors of channel dropout of a block's operations at a scale. */
export const blockDropout = ({ name }: LiveBlock, scale: number) => `${name}/s${scale}/dropout`;

function dropoutsOf(stages: LiveStage[]): Supernet["dropouts"] {
  return stages
    .filter((stage) => stage.dropout > 0)
    .flatMap((stage) =>
      stage.blocks.flatMap((block) =>
        scalesOf(block).map((scale) => ({
          name: blockDropout(block, scale),
          channels: atScale(block, scale).reduce((sum, { outputWidth }) => sum + outputWidth, 0),
          probability: stage.dropout,
        })),
      ),
    );
}
