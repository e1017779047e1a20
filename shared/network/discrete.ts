import { manifest, type Manifest } from "../engine/parameters";
import { scoped } from "../engine/scope";
import type { tf } from "../engine/tf";
import type { Genotype } from "../proto/lathe/v1/space";
import { searchStride } from "../space/genotype";
import { declareBlock, decidedBlock } from "./block";
import { aggregationHead, declareAggregationHead, declareSearchHead, searchHead } from "./heads";
import type { Declaration, Norm, Tensors } from "./layers";
import { declareReduction, reduction } from "./reduction";

/** "search": the 1x1 head of the search, logits at 1/8. "aggregation": the head of retraining, logits at the input's size. */
export type Head = { kind: "search" } | { kind: "aggregation"; pyramidChannels: number; dropout: number };

/** The network of a genotype: what its tensors are, and the function that it computes. */
export interface DiscreteNetwork {
  genotype: Genotype;
  head: Head;
  weights: Manifest;
  stats: Manifest;
  dropouts: { name: string; channels: number; probability: number }[];
  /** Side of a cell of the logits, in input pixels. */
  stride: number;
  logits(weights: Tensors, images: tf.Tensor, norm: Norm, dropouts?: Tensors): tf.Tensor4D;
}

/** Builds the discrete network of a genotype: each block keeps the first channels of its widths (docs/method.md#relaxation). */
export function buildDiscrete(genotype: Genotype, head: Head): DiscreteNetwork {
  const declaration: Declaration = { weights: [], stats: [] };
  declareReduction(declaration, "stem", 3, genotype.stemChannels - 3);
  let declared = genotype.stemChannels;
  let width = genotype.stemChannels;
  const widths = genotype.stages.map((stage, s) => {
    declareReduction(declaration, `stage${s + 1}/reduction`, width, stage.channels - declared);
    width = stage.channels - declared + width;
    stage.blocks.forEach((block, b) => {
      declareBlock(declaration, `stage${s + 1}/block${b + 1}`, width, block);
      width = block.outputWidth;
    });
    declared = stage.channels;
    return width;
  });
  if (head.kind === "search") declareSearchHead(declaration, width, genotype.classes);
  else declareAggregationHead(declaration, aggregationShape(genotype, widths, head.pyramidChannels));
  const last = genotype.stages[1]?.channels ?? 0;
  return {
    genotype,
    head,
    weights: manifest(declaration.weights),
    stats: manifest(declaration.stats),
    dropouts:
      head.kind === "aggregation" && head.dropout > 0
        ? ["context", "fusion"].map((name) => ({
            name: `head/${name}/dropout`,
            channels: last,
            probability: head.dropout,
          }))
        : [],
    stride: head.kind === "search" ? searchStride(genotype) : 1,
    logits: (weights, images, norm, dropouts = {}) => {
      const stem = scoped("stem", () => reduction(weights, "stem", images, norm));
      let x: tf.Tensor = stem;
      const outputs = genotype.stages.map((stage, s) => {
        const name = `stage${s + 1}`;
        x = scoped(`${name}/reduction`, () => reduction(weights, `${name}/reduction`, x, norm));
        stage.blocks.forEach((entry, b) => {
          const block = `${name}/block${b + 1}`;
          x = scoped(block, () => decidedBlock(weights, block, entry, x, norm));
        });
        return x;
      });
      if (head.kind === "search") return scoped("head", () => searchHead(weights, x));
      const [, , height, width] = images.shape as [number, number, number, number];
      const [low, high] = outputs;
      if (!low || !high) throw new Error(`the aggregation head joins 2 stages, got ${outputs.length}`);
      return scoped("head", () => aggregationHead(weights, { stem, low, high }, [height, width], norm, dropouts));
    },
  };
}

function aggregationShape(genotype: Genotype, widths: number[], pyramidChannels: number) {
  const [first, second] = genotype.stages;
  const [low, high] = widths;
  if (!first || !second || low === undefined || high === undefined)
    throw new Error(`the aggregation head joins 2 stages, got ${genotype.stages.length}`);
  return {
    classes: genotype.classes,
    pyramidChannels,
    stem: genotype.stemChannels,
    low,
    high,
    lowChannels: first.channels,
    highChannels: second.channels,
  };
}
