import { take } from "../engine/ops/take";
import { tf } from "../engine/tf";
import type { HeadWidth } from "../space/head";
import { kindOf } from "../space/kinds/kinds";
import { at, type LiveBlock, type LiveStage } from "../space/live";
import type { Relaxation } from "./relaxation";

/** Channels of a block's vectors of factors. */
export interface FactorSizes {
  /** Middle and output channels per operation, and channels of the block's output. */
  middles: readonly number[];
  outputs: readonly number[];
  presence: number;
}

/** Factors of a block's channels. A vector concatenates the channels of the block's operations. It is absent if all factors are 1. */
export interface BlockFactors {
  /** E[m], the expected masks of the middle channels. */
  middle?: tf.Tensor1D;
  /** p_o E[m], of the output channels. */
  output?: tf.Tensor1D;
  /** sum_o p_o E[m], of the skip connection: on the channels that input and output share, then 0. */
  presence?: tf.Tensor1D;
}

export interface StageFactors {
  blocks: BlockFactors[];
  /** Expected presence of the stage's output channels. */
  presence?: tf.Tensor1D;
}

/**
 * A vector to compute: each part is the expected mask of one row of the relaxation's widths on `channels` channels; zeros follow. A width of
 * w has expansion * w of these channels.
 */
interface Wanted {
  parts: { row: number; position: number; channels: number; expansion: number }[];
  zeros: number;
  set: (factors: tf.Tensor1D) => void;
}

/** Whether one operation with one output width is left: then the output's mask is 1 on every computed channel. */
function isDecided(block: LiveBlock): boolean {
  return block.operations.length === 1 && block.operations.every(({ output }) => output.survivors.length === 1);
}

/** Computes all factors by one product of the distributions over widths and the masks m_j, which are 1 on the first w_j channels. */
export function channelFactors(
  stages: readonly LiveStage[],
  { widths }: Relaxation,
  sizesOf: (block: LiveBlock) => FactorSizes,
): StageFactors[] {
  const factors = stages.map(({ blocks }): StageFactors => ({ blocks: blocks.map(() => ({})) }));
  const wanted = wantedOf(stages, factors, sizesOf);
  if (wanted.length === 0) return factors;
  const [, candidates] = widths.shape;
  const ranges = maskRanges(stages);
  const columns = ranges.reduce((sum, { length }) => sum + length, 0);
  const masks = Array.from({ length: candidates }, (_, j) =>
    ranges.flatMap(({ position, expansion, length }) => {
      const width = expansion * (at(stages, position).widths[j] ?? 0);
      return Array.from({ length }, (__, c) => (c < width ? 1 : 0));
    }),
  );
  const firstOf = ({ position, expansion }: { position: number; expansion: number }): number => {
    const index = ranges.findIndex((range) => range.position === position && range.expansion === expansion);
    return ranges.slice(0, index).reduce((sum, { length }) => sum + length, 0);
  };
  const expected = tf.matMul(widths, tf.tensor2d(masks, [candidates, columns]));
  const sources = wanted.map(({ parts, zeros }) => [
    ...parts.flatMap((part) => {
      const first = part.row * columns + firstOf(part);
      return Array.from({ length: part.channels }, (_, c) => first + c);
    }),
    ...Array<number>(zeros).fill(-1),
  ]);
  const joined = take(expected, sources.flat());
  const sizes = sources.map(({ length }) => length);
  // TF.js cannot differentiate a split into one part.
  const vectors = sizes.length === 1 ? [joined] : tf.split<tf.Tensor1D>(joined, sizes);
  wanted.forEach(({ set }, index) => set(at(vectors, index)));
  return factors;
}

/** The masks of a stage's widths: on its channels, and on the middle channels of each other expansion that its operations have. */
function maskRanges(stages: readonly LiveStage[]): { position: number; expansion: number; length: number }[] {
  return stages.flatMap(({ channels, blocks }, position) => {
    const found = blocks.flatMap(({ operations }) => operations.map(({ operation }) => kindOf(operation).expansion));
    return [...new Set([1, ...found])].map((expansion) => ({ position, expansion, length: expansion * channels }));
  });
}

/** Expected masks of the channels of the head's units. Absent: all are present. */
export type HeadFactors = {
  /** E[m] of the units of a width of the head, [channels]. */
  [list in HeadWidth["list"]]?: tf.Tensor1D;
};

/** Computes the expected masks of the head's searched widths: sum_j p_j m_j. */
export function headFactors({ head }: Relaxation): HeadFactors {
  const factors: HeadFactors = {};
  for (const { live, p } of head) {
    const { width, widths, channels } = live;
    if (widths.length === 1) continue;
    const masks = widths.map((each) => Array.from({ length: channels }, (_, c) => (c < each ? 1 : 0)));
    const expected = tf.matMul(tf.reshape(p, [1, widths.length]), tf.tensor2d(masks, [widths.length, channels]));
    factors[width.list] = tf.reshape<tf.Rank.R1>(expected, [channels]);
  }
  return factors;
}

function wantedOf(
  stages: readonly LiveStage[],
  factors: readonly StageFactors[],
  sizesOf: (block: LiveBlock) => FactorSizes,
): Wanted[] {
  const k = stages.flatMap(({ blocks }) => blocks.flatMap(({ operations }) => operations)).length;
  const total = stages.flatMap(({ blocks }) => blocks).length;
  const wanted: Wanted[] = [];
  let [operation, number] = [0, 0];
  stages.forEach((stage, position) => {
    const own = at(factors, position);
    stage.blocks.forEach((block, index) => {
      const { middles, outputs, presence } = sizesOf(block);
      const first = operation;
      const blockFactors = at(own.blocks, index);
      const side = (start: number, sizes: readonly number[], expansions: readonly number[] = []) =>
        sizes.map((channels, row) => ({ row: start + row, position, channels, expansion: expansions[row] ?? 1 }));
      if (block.operations.some(({ middle }) => middle.survivors.length > 1)) {
        const expansions = block.operations.map(({ operation }) => kindOf(operation).expansion);
        const parts = side(k + first, middles, expansions);
        wanted.push({ parts, zeros: 0, set: (vector) => (blockFactors.middle = vector) });
      }
      if (!isDecided(block)) {
        const common = Math.min(block.inputs, block.outputs);
        wanted.push({ parts: side(first, outputs), zeros: 0, set: (vector) => (blockFactors.output = vector) });
        wanted.push({
          parts: [{ row: 2 * k + number, position, channels: common, expansion: 1 }],
          zeros: presence - common,
          set: (vector) => (blockFactors.presence = vector),
        });
      }
      operation += block.operations.length;
      number++;
    });
    const last = stage.blocks.at(-1);
    // No reduction follows the last stage.
    if (position + 1 < stages.length && !(stage.exits.length === 1 && last && isDecided(last)))
      wanted.push({
        // The row of the input of the next stage's first block.
        parts: [{ row: 2 * k + total + number, position, channels: stage.outputs, expansion: 1 }],
        zeros: 0,
        set: (vector) => (own.presence = vector),
      });
  });
  return wanted;
}
