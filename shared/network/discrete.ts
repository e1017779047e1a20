import { scoped } from "../engine/scope";
import type { tf } from "../engine/tf";
import type { Genotype } from "../proto/lathe/v1/space";
import { blockInputs } from "../space/genotype";
import { headStride, headWidth, JOINED, type Head } from "../space/head";
import { blockName, stageName } from "../space/parts";
import { declareBlock, declareReduction, decidedBlock, reduction } from "./blocks";
import { axis, extent, tensorTable, type Declaration, type TensorTable } from "./declaration";
import { DROPPED, declareHead, dropoutName, headLogits } from "./heads";
import type { Norm, Tensors } from "./layers";

/** The network of a genotype: the tables of its tensors, and its function. */
export interface DiscreteNetwork {
  genotype: Genotype;
  head: Head;
  weights: TensorTable;
  stats: TensorTable;
  dropouts: { name: string; channels: number; probability: number }[];
  /** Input pixels per cell of the logits, in each direction. */
  stride: number;
  logits(weights: Tensors, images: tf.Tensor, norm: Norm, dropouts?: Tensors): tf.Tensor4D;
}

/** Builds the discrete network of a genotype: each block keeps the first channels of its widths (docs/method.md#relaxation). */
export function buildDiscrete(genotype: Genotype, head: Head): DiscreteNetwork {
  const declaration: Declaration = { weights: [], stats: [] };
  const inputs = blockInputs(genotype);
  const stem = declareReduction(declaration, "stem", axis("image", 3), inputs.stem.convolution);
  let x = stem;
  const outputs = inputs.stages.map(({ reduction: { convolution } }, s) => {
    x = declareReduction(declaration, `${stageName(s + 1)}/reduction`, x, convolution);
    genotype.stages[s]?.blocks.forEach((block, b) => {
      x = declareBlock(declaration, blockName(s + 1, b + 1), x, block);
    });
    x = axis(stageName(s + 1), extent(x));
    return x;
  });
  declareHead(declaration, head, { ...genotype, stem, outputs });
  const channels = headWidth(JOINED, genotype);
  const probability = head.kind === "aggregation" ? head.dropout : 0;
  return {
    genotype,
    head,
    weights: tensorTable(declaration.weights),
    stats: tensorTable(declaration.stats),
    dropouts: probability > 0 ? DROPPED.map((name) => ({ name: dropoutName(name), channels, probability })) : [],
    stride: headStride(head),
    logits: (weights, images, norm, dropouts = {}) => {
      const stem = scoped("stem", () => reduction(weights, "stem", images, norm));
      let x: tf.Tensor = stem;
      const outputs = genotype.stages.map((stage, s) => {
        const name = stageName(s + 1);
        x = scoped(`${name}/reduction`, () => reduction(weights, `${name}/reduction`, x, norm));
        stage.blocks.forEach((entry, b) => {
          const block = blockName(s + 1, b + 1);
          x = scoped(block, () => decidedBlock(weights, block, entry, x, norm));
        });
        return x;
      });
      return headLogits(head, weights, { stem, outputs }, norm, { dropouts });
    },
  };
}
