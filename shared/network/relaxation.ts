import { take } from "../engine/ops/take";
import { tf } from "../engine/tf";
import { at, type LiveHeadWidth, type LiveStage } from "../space/live";
import { alphaRows, blocksOf, operationsOf, type AlphaRow, type Parametrised, type Searched } from "./alphas";

/**
 * The relaxed choices of a supernet. The tensors cover all groups at once: a step has hundreds of groups, and every node of a graph costs
 * time however little it computes. `candidates` is the largest number of candidates of a group; there are B blocks and K operations in all
 * stages together.
 */
export interface Relaxation {
  rows: readonly AlphaRow[];
  /** log p of each row's candidates, [groups, candidates]: finite for every survivor; the values of removed candidates have no meaning. */
  logs: tf.Tensor2D;
  /** p_d of the exits of every stage, [stages, candidates]. */
  depths: tf.Tensor2D;
  /** p_o of the operations, [K]. */
  operations: tf.Tensor1D;
  /**
   * Distributions over widths, [2K + 2B, candidates]. In order: per operation p_o times the distribution of its output width; per operation
   * that of its middle width; per block that of its output; per block that of its input, which for the first block of a stage is the
   * output of the stage before.
   */
  widths: tf.Tensor2D;
  /** The searched widths of the head, each with the distribution over its survivors, [m]. */
  head: readonly { live: LiveHeadWidth; p: tf.Tensor1D }[];
}

/** The largest number of candidates that a group has. */
function mostCandidates({ stages, head }: Searched): number {
  const groups = stages.flatMap(({ exits, widths, blocks }) => [exits, widths, ...blocks.map((one) => one.operations)]);
  return Math.max(...[...groups, ...head.map(({ widths }) => widths)].map(({ length }) => length));
}

/** log p of a removed candidate: finite, but exp(GONE) is exactly 0 in float32. */
const GONE = -1e9;

/**
 * Computes the relaxed choices from the flat architecture parameters (docs/method.md#relaxation): p_i = sigmoid(alpha_i) / sum over the
 * survivors, evaluated as the softmax of log sigmoid(alpha), so that log p and its derivative stay finite where a sigmoid is 0 in float32.
 * A decided group has p = 1 exactly and does not read its parameter. If all groups are decided, the choices are constants.
 */
export function relax(supernet: Parametrised, alphas: tf.Tensor1D): Relaxation {
  const { stages, head } = supernet;
  const rows = alphaRows(supernet);
  const n = mostCandidates(supernet);
  const owners = operationsOf(stages);
  const [b, k] = [blocksOf(stages).length, owners.length];
  const { p, logs } = probabilities(rows, n, alphas);
  type Parts = [tf.Tensor2D, tf.Tensor2D, tf.Tensor2D, tf.Tensor2D, ...tf.Tensor2D[]];
  const sizes = [stages.length, b, k, k, ...head.map(() => 1)];
  const [depths, choices, outputs, middles, ...ofHead] = tf.split(p, sizes) as Parts;
  const chosenAt = owners.map(({ block, b: row, operation }) => row * n + block.operations.indexOf(operation));
  const operations = take(choices, chosenAt);
  const chosen = tf.mul(outputs, tf.reshape(operations, [k, 1]));
  const sums = matrix(b, k, (row, column) => (at(owners, column).b === row ? 1 : 0));
  const behind = tf.matMul(sums, chosen);
  const before = tf.matMul(inputsOf(stages, depths), behind);
  const widths = tf.concat([chosen, middles, behind, before] as tf.Tensor2D[]);
  const distributions = head.map((live, index) => {
    const { length } = live.widths;
    return { live, p: tf.reshape<tf.Rank.R1>(tf.slice(at(ofHead, index), [0, 0], [1, length]), [length]) };
  });
  return { rows, logs, depths, operations, widths, head: distributions };
}

function probabilities(rows: readonly AlphaRow[], n: number, alphas: tf.Tensor1D): Record<"p" | "logs", tf.Tensor2D> {
  const open = ({ columns }: AlphaRow) => columns.length > 1;
  const left = (row: number, column: number) => at(rows, row).columns.includes(column);
  if (!rows.some(open)) {
    const p = matrix(rows.length, n, (row, column) => (left(row, column) ? 1 : 0));
    return { p, logs: tf.zerosLike(p) };
  }
  const source = rows.flatMap((row) =>
    Array.from({ length: n }, (_, column) => (open(row) && row.columns.includes(column) ? row.first + column : -1)),
  );
  const values = tf.reshape<tf.Rank.R2>(take(alphas, source), [rows.length, n]);
  const gone = matrix(rows.length, n, (row, column) => (left(row, column) ? 0 : GONE));
  // log sigmoid(x) = -softplus(-x). tf.logSigmoid frees tensors that its derivative needs.
  const logs = tf.logSoftmax<tf.Tensor2D>(tf.sub(gone, tf.softplus(tf.neg(values))));
  return { p: tf.exp(logs), logs };
}

/** Weights of the blocks' outputs in each block's input, [B, B]: 1 for the block before, or p_d for the exits of the stage before. */
function inputsOf(stages: readonly LiveStage[], depths: tf.Tensor2D): tf.Tensor2D {
  const blocks = blocksOf(stages);
  const size = blocks.length;
  // If `to` is the first block of a stage and `from` is an exit of the stage before, the index of that exit; else -1.
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

/** A constant matrix, given as a function of row and column. */
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
