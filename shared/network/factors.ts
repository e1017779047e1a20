import { take } from "../engine/ops/take";
import { tf } from "../engine/tf";
import { at, type LiveBlock, type LiveStage } from "../space/live";
import type { Relaxation } from "./relaxation";

/** The number of channels of each vector of a block's factors. */
export interface FactorSizes {
  /** Per operation. */
  middles: readonly number[];
  outputs: readonly number[];
  presence: number;
}

/** Factors of channels by the choices: vectors over the operations of a block side by side, each at its width. Absent where all are 1. */
export interface BlockFactors {
  /** Expected masks E[m] of the middle channels. */
  middle?: tf.Tensor1D;
  /** p_o E[m] of the output channels. */
  output?: tf.Tensor1D;
  /** The skip's: sum_o p_o E[m] on the channels that input and output share, 0 behind them. */
  presence?: tf.Tensor1D;
}

export interface StageFactors {
  blocks: BlockFactors[];
  /** Expected presence of the channels that the stage hands on. */
  presence?: tf.Tensor1D;
}

/** A vector of factors to compute: per part the expected mask of a row of the relaxation's widths on that many channels, zeros behind them. */
interface Wanted {
  parts: { row: number; position: number; channels: number }[];
  zeros: number;
  set: (factors: tf.Tensor1D) => void;
}

/** True where one operation with one output width is left: every mask of the output is 1 on the channels computed. */
export function isDecided(block: LiveBlock): boolean {
  return block.operations.length === 1 && block.operations.every(({ output }) => output.survivors.length === 1);
}

/** The factors of all blocks and stages, by one product of the distributions over widths and the masks m_j, which are 1 on the first w_j channels. */
export function channelFactors(
  stages: readonly LiveStage[],
  { widths }: Relaxation,
  sizesOf: (block: LiveBlock) => FactorSizes,
): StageFactors[] {
  const factors = stages.map(({ blocks }): StageFactors => ({ blocks: blocks.map(() => ({})) }));
  const wanted = wantedOf(stages, factors, sizesOf);
  if (wanted.length === 0) return factors;
  const [, candidates] = widths.shape;
  const firsts = stages.map((_, position) =>
    stages.slice(0, position).reduce((sum, { channels }) => sum + channels, 0),
  );
  const columns = stages.reduce((sum, { channels }) => sum + channels, 0);
  const masks = Array.from({ length: candidates }, (_, j) =>
    stages.flatMap((stage) => Array.from({ length: stage.channels }, (__, c) => (c < (stage.widths[j] ?? 0) ? 1 : 0))),
  );
  const expected = tf.matMul(widths, tf.tensor2d(masks, [candidates, columns]));
  const sources = wanted.map(({ parts, zeros }) => [
    ...parts.flatMap(({ row, position, channels }) =>
      Array.from({ length: channels }, (_, c) => row * columns + at(firsts, position) + c),
    ),
    ...Array<number>(zeros).fill(-1),
  ]);
  const joined = take(expected, sources.flat());
  const sizes = sources.map(({ length }) => length);
  // TF.js cannot derive a split into one.
  const vectors = sizes.length === 1 ? [joined] : tf.split<tf.Tensor1D>(joined, sizes);
  wanted.forEach(({ set }, index) => set(at(vectors, index)));
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
      const side = (start: number, sizes: readonly number[]) =>
        sizes.map((channels, row) => ({ row: start + row, position, channels }));
      if (block.operations.some(({ middle }) => middle.survivors.length > 1))
        wanted.push({ parts: side(k + first, middles), zeros: 0, set: (vector) => (blockFactors.middle = vector) });
      if (!isDecided(block)) {
        const common = Math.min(block.inputs, block.outputs);
        wanted.push({ parts: side(first, outputs), zeros: 0, set: (vector) => (blockFactors.output = vector) });
        wanted.push({
          parts: [{ row: 2 * k + number, position, channels: common }],
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
        parts: [{ row: 2 * k + total + number, position, channels: stage.outputs }],
        zeros: 0,
        set: (vector) => (own.presence = vector),
      });
  });
  return wanted;
}
