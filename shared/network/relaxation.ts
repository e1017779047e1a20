import type { Manifest } from "../engine/parameters";
import { take } from "../engine/ops/take";
import { tf } from "../engine/tf";
import { at, type LiveBlock, type LiveStage } from "./live";

/**
 * The relaxed choices of a supernet, of all its groups at once: a step has hundreds of groups, and a node costs its time however little
 * it does. `candidates` is the largest number of candidates of a group; B blocks and K operations are counted over all stages.
 */
export interface Relaxation {
  /** log p of every group, [groups, candidates], finite for every survivor however small its p; meaningless where a candidate has left. */
  logs: tf.Tensor2D;
  /** p of the exits of every stage, [stages, candidates]. */
  depths: tf.Tensor2D;
  /** p_o of the operations, [K]. */
  operations: tf.Tensor1D;
  /**
   * Distributions over widths, [2K + 2B, candidates]: per operation p_o times that of its output, per operation that of its middle,
   * per block that of its output and that of its input, which for the first of a stage is that of the stage before.
   */
  widths: tf.Tensor2D;
}

/** The searched dimensions, with something of each. */
export type PerDimension = Record<"depth" | "operation" | "outputWidth" | "middleWidth", number>;

/** A decision group: where its candidates stand in the flat architecture parameters. */
export interface Row {
  dimension: keyof PerDimension;
  entry: string;
  first: number;
  survivors: readonly number[];
}

/** Names and shapes of the architecture parameters: operations by row, widths stacked per block in all their columns. */
export function declareAlphas(stages: readonly LiveStage[]): { name: string; shape: number[] }[] {
  return stages.flatMap((stage) => [
    { name: `${stage.name}/depth`, shape: [stage.depths.length] },
    ...stage.blocks.flatMap((block) => [
      { name: `${block.name}/operation`, shape: [block.operations.length] },
      { name: `${block.name}/output`, shape: [block.operations.length, stage.widths.length] },
      { name: `${block.name}/middle`, shape: [block.operations.length, stage.widths.length] },
    ]),
  ]);
}

/** Every group: depths of all stages, operations of all blocks, output widths, then middle widths of all operations. */
export function rowsOf(stages: readonly LiveStage[]): Row[] {
  const all = (length: number) => Array.from({ length }, (_, index) => index);
  const widths = (kind: "output" | "middle", dimension: keyof PerDimension) =>
    blocksOf(stages).flatMap(({ stage, block }) =>
      block.operations.map((operation, row): Row => {
        const first = row * stage.widths.length;
        return { dimension, entry: `${block.name}/${kind}`, first, survivors: operation[kind] };
      }),
    );
  return [
    ...stages.map(({ name, depths }): Row => ({
      dimension: "depth",
      entry: `${name}/depth`,
      first: 0,
      survivors: all(depths.length),
    })),
    ...blocksOf(stages).map(({ block }): Row => ({
      dimension: "operation",
      entry: `${block.name}/operation`,
      first: 0,
      survivors: all(block.operations.length),
    })),
    ...widths("output", "outputWidth"),
    ...widths("middle", "middleWidth"),
  ];
}

/** The blocks of all stages, with the stage, its number and the block's within it. */
export function blocksOf(
  stages: readonly LiveStage[],
): { stage: LiveStage; position: number; block: LiveBlock; index: number }[] {
  return stages.flatMap((stage, position) => stage.blocks.map((block, index) => ({ stage, position, block, index })));
}

/** The operations of all blocks, with the number of their block among all. */
export function operationsOf(stages: readonly LiveStage[]) {
  return blocksOf(stages).flatMap((owner, b) =>
    owner.block.operations.map((operation) => ({ ...owner, b, operation })),
  );
}

/** Candidates of the group that has most. */
function mostCandidates(stages: readonly LiveStage[]): number {
  return Math.max(
    ...stages.flatMap(({ depths, widths, blocks }) => [
      depths.length,
      widths.length,
      ...blocks.map(({ operations }) => operations.length),
    ]),
  );
}

/** Far below the log-sigmoid of any alpha, and finite: e to the power of it is exactly 0. */
const GONE = -1e9;

/**
 * The relaxed choices of a supernet from its flat architecture parameters (docs/method.md#relaxation): p_i = sigmoid(alpha_i) / sum over
 * survivors, as the softmax of log sigmoid(alpha): where a sigmoid is 0 in float32, log p and its derivative stay finite. A decided
 * group has p = 1 exactly and does not read its parameter; where all are decided, the choices are constants.
 */
export function relax(stages: readonly LiveStage[], layout: Manifest, alphas: tf.Tensor1D): Relaxation {
  const rows = rowsOf(stages);
  const n = mostCandidates(stages);
  const [b, k] = [blocksOf(stages).length, operationsOf(stages).length];
  const { p, logs } = probabilities(rows, n, layout, alphas);
  const [depths, choices, outputs, middles] = tf.split(p, [stages.length, b, k, k]) as [
    tf.Tensor2D,
    tf.Tensor2D,
    tf.Tensor2D,
    tf.Tensor2D,
  ];
  const owners = operationsOf(stages);
  const operations = take(
    choices,
    owners.map(({ block, b: row, operation }) => row * n + block.operations.indexOf(operation)),
  );
  const chosen = tf.mul(outputs, tf.reshape(operations, [k, 1]));
  const sums = matrix(b, k, (row, column) => (at(owners, column).b === row ? 1 : 0));
  const behind = tf.matMul(sums, chosen);
  const before = tf.matMul(inputsOf(stages, depths), behind);
  return { logs, depths, operations, widths: tf.concat([chosen, middles, behind, before] as tf.Tensor2D[]) };
}

function probabilities(
  rows: readonly Row[],
  n: number,
  layout: Manifest,
  alphas: tf.Tensor1D,
): { p: tf.Tensor2D; logs: tf.Tensor2D } {
  const open = ({ survivors }: Row) => survivors.length > 1;
  const left = (row: number, column: number) => at(rows, row).survivors.includes(column);
  if (!rows.some(open)) {
    const p = matrix(rows.length, n, (row, column) => (left(row, column) ? 1 : 0));
    return { p, logs: tf.zerosLike(p) };
  }
  const offsets = new Map(layout.entries.map(({ name, offset }) => [name, offset]));
  const source = rows.flatMap((row) => {
    const offset = offsets.get(row.entry);
    if (offset === undefined) throw new Error(`no parameters "${row.entry}"`);
    const first = offset + row.first;
    return Array.from({ length: n }, (_, column) =>
      open(row) && row.survivors.includes(column) ? first + column : -1,
    );
  });
  const values = tf.reshape<tf.Rank.R2>(take(alphas, source), [rows.length, n]);
  const gone = matrix(rows.length, n, (row, column) => (left(row, column) ? 0 : GONE));
  // log sigmoid(x) = -softplus(-x); tf.logSigmoid frees what its derivative needs.
  const logs = tf.logSoftmax<tf.Tensor2D>(tf.sub(gone, tf.softplus(tf.neg(values))));
  return { p: tf.exp(logs), logs };
}

/** Of every block its input as a mixture of the blocks' outputs, [B, B]: the block before, or by p_d the exits of the stage before. */
function inputsOf(stages: readonly LiveStage[], depths: tf.Tensor2D): tf.Tensor2D {
  const blocks = blocksOf(stages);
  const size = blocks.length;
  // Of the first block of a stage: the exit of the stage before that a block is, -1 where it is none.
  const exit = (row: number, column: number) => {
    const [to, from] = [at(blocks, row), at(blocks, column)];
    return to.index === 0 && from.position === to.position - 1 ? from.stage.exits.indexOf(from.index + 1) : -1;
  };
  const single = stages.every(({ exits }) => exits.length === 1);
  const fixed = matrix(size, size, (row, column) =>
    (at(blocks, row).index > 0 && column === row - 1) || (single && exit(row, column) === 0) ? 1 : 0,
  );
  if (single) return fixed;
  const n = depths.shape[1];
  const source = blocks.flatMap((_, row) =>
    blocks.map(({ position }, column) => (exit(row, column) < 0 ? -1 : position * n + exit(row, column))),
  );
  return tf.add(fixed, tf.reshape(take(depths, source), [size, size]));
}

/** A constant matrix by its elements. */
export function matrix(rows: number, columns: number, element: (row: number, column: number) => number): tf.Tensor2D {
  const values = Float32Array.from({ length: rows * columns }, (_, index) =>
    element(Math.floor(index / columns), index % columns),
  );
  return tf.tensor2d(values, [rows, columns]);
}

/** p_d of the exits of a stage, [m]. */
export function exitProbabilities({ depths }: Relaxation, position: number, exits: number): tf.Tensor1D {
  return tf.reshape(tf.slice(depths, [position, 0], [1, exits]), [exits]);
}
