import { tf } from "../engine/tf";
import type { CandidateCost, CostTable } from "../proto/lathe/v1/space";
import { candidateCosts, exitCost, inputCost, outputCost } from "../space/cost";
import { JOINED, type HeadWidth } from "../space/head";
import { headTerms } from "../space/headTables";
import { at, type LiveStage } from "../space/live";
import { blocksOf, operationsOf, type AlphaRow, type PerDimension } from "./alphas";
import { matrix, type Relaxation } from "./relaxation";

/**
 * Weighted SSR (docs/method.md#regularization), a scalar: sum over the dimensions of their weight times the mean over all live groups of
 * (1/n) sum_i log p_i + log n. The term of a decided group is 0.
 */
export function weightedSsr({ rows, logs }: Relaxation, weights: PerDimension): tf.Scalar {
  const share = (row: AlphaRow) =>
    weights[row.dimension] / rows.filter(({ dimension }) => dimension === row.dimension).length;
  const shares = rows.map(share);
  // Weight of each survivor's log p. log n is added per log p and not per group, which loses less precision by cancellation.
  const weight = (row: number, column: number) => {
    const { columns } = at(rows, row);
    return columns.length > 1 && columns.includes(column) ? at(shares, row) / columns.length : 0;
  };
  const [count, n] = logs.shape;
  const uniform = matrix(count, n, (row, column) => weight(row, column) * Math.log(at(rows, row).columns.length));
  return tf.sum<tf.Scalar>(tf.add(tf.mul(logs, matrix(count, n, weight)), uniform));
}

/**
 * Expected cost of the supernet (docs/method.md#expected-cost), a scalar in the unit of the table: per block the sum over operations of
 * p_o (E[A_o(in, mid)] + E[B_o(mid, out)] + c), times the probability that the network exits at or after the block, plus E[X_k(out)] of each
 * stage's last block, plus E[H] of the head.
 */
export function expectedCost(stages: readonly LiveStage[], relaxation: Relaxation, table: CostTable): tf.Scalar {
  const costOf = candidateCosts(table);
  const rows = operationsOf(stages).map(({ position, operation: { operation } }) =>
    costOf(position + 1, operation.name),
  );
  const measured = rows.some(({ byInput, byOutput }) => byInput ?? byOutput);
  const widthCosts = measured ? measuredCosts : productCosts;
  const fixed = tf.mul(relaxation.operations, tf.tensor1d(rows.map((row) => row.fixed)));
  const costs = tf.add(widthCosts(stages, relaxation, rows), fixed);
  const blocks = tf.add<tf.Scalar>(tf.sum(reached(stages, relaxation, costs)), table.fixed);
  const exits = table.exits.length > 0 ? tf.add<tf.Scalar>(blocks, exitCosts(stages, relaxation, table)) : blocks;
  return relaxation.head.length > 0 ? tf.add(exits, expectedHeadCost(relaxation, table)) : exits;
}

/** sum_ij p_i q_j H(i, j) over the parts H of the head's cost, a scalar, with p and q the distributions of their two widths. */
function expectedHeadCost({ head }: Relaxation, table: CostTable): tf.Scalar {
  // A width that is not searched is full.
  const chances = (of: HeadWidth) => {
    const found = head.find(({ live }) => live.width === of);
    return { widths: found?.live.widths ?? [undefined], p: found?.p ?? tf.tensor1d([1]) };
  };
  const joined = chances(JOINED);
  const terms = headTerms(table).map(({ other, cost }) => {
    const { widths, p } = chances(other);
    const [rows, columns] = [joined.widths.length, widths.length];
    const costs = matrix(rows, columns, (row, column) => cost(joined.widths[row], widths[column]));
    const byOther = tf.matMul(tf.reshape(joined.p, [1, rows]), costs);
    return tf.reshape<tf.Rank.R0>(tf.matMul(byOther, tf.reshape(p, [columns, 1])), []);
  });
  return terms.reduce((sum, term) => tf.add<tf.Scalar>(sum, term));
}

/**
 * p_o (E[mid_o] (a E[in] + b E[out_o]) + c E[in] + d E[mid_o]) of each operation, [K]. Its costs are products of widths,
 * whose means are enough, because the choices are independent.
 */
function productCosts(
  stages: readonly LiveStage[],
  { widths, operations }: Relaxation,
  rows: readonly CandidateCost[],
): tf.Tensor {
  const [owners, blocks] = [operationsOf(stages), blocksOf(stages)];
  const [k, b] = [owners.length, blocks.length];
  const stageOf = [...[...owners, ...owners, ...blocks].map(({ stage }) => stage), ...entered(stages)];
  const sizes = matrix(2 * k + 2 * b, widths.shape[1], (row, column) => stageOf[row]?.widths[column] ?? 0);
  // p_o E[out_o], E[mid_o], and each block's expected input channels without those that a reduction's convolution adds.
  type Four = [tf.Tensor1D, tf.Tensor1D, tf.Tensor1D, tf.Tensor1D];
  const [output, middle, , handed] = tf.split(tf.sum(tf.mul(widths, sizes), 1), [k, k, b, b]) as Four;
  const inputs = tf.add(
    tf.reshape(tf.matMul(tf.reshape(handed, [1, b]), operationsOfBlocks(stages)), [k]),
    tf.tensor1d(addedChannels(stages)),
  );
  const byInput = tf.mul(tf.mul(operations, tf.tensor1d(rows.map((row) => row.inMiddle))), inputs);
  const byOutput = tf.mul(output, tf.tensor1d(rows.map((row) => row.middleOut)));
  const pairs = tf.mul(middle, tf.add(byInput, byOutput));
  if (rows.every(({ perInput, perMiddle }) => perInput === 0 && perMiddle === 0)) return pairs;
  const perInput = tf.mul(tf.tensor1d(rows.map((row) => row.perInput)), inputs);
  const perMiddle = tf.mul(tf.tensor1d(rows.map((row) => row.perMiddle)), middle);
  return tf.add(pairs, tf.mul(operations, tf.add(perInput, perMiddle)));
}

/** p_o (sum_ij h_i m_j A_o[i][j] + sum_ij m_i q_j B_o[i][j]) of each operation, [K], with h, m, q the distributions of its widths. */
function measuredCosts(
  stages: readonly LiveStage[],
  { widths, operations }: Relaxation,
  rows: readonly CandidateCost[],
): tf.Tensor {
  const [owners, blocks] = [operationsOf(stages), blocksOf(stages)];
  const [k, b, n] = [owners.length, blocks.length, widths.shape[1]];
  type Four = [tf.Tensor2D, tf.Tensor2D, tf.Tensor2D, tf.Tensor2D];
  const [output, middle, , handed] = tf.split(widths, [k, k, b, b]) as Four;
  // The first block of the network has one input width, which stands in the first column.
  const first = matrix(k, n, (row, column) => (isFirst(at(owners, row)) && column === 0 ? 1 : 0));
  const input = tf.add<tf.Tensor2D>(tf.matMul(tf.transpose(operationsOfBlocks(stages)), handed), first);
  const [before, added] = [entered(stages), addedChannels(stages)];
  const costs = (cost: (owner: number, i: number, j: number) => number) =>
    matrix(k, n * n, (owner, pair) => cost(owner, Math.floor(pair / n), pair % n));
  const byInput = costs((owner, i, j) => {
    const { stage, b: block } = at(owners, owner);
    const width = isFirst(at(owners, owner)) ? (i === 0 ? 0 : undefined) : before[block]?.widths[i];
    const mid = stage.widths[j];
    if (width === undefined || mid === undefined) return 0;
    return inputCost(at(rows, owner), at(added, owner) + width, mid);
  });
  const byOutput = costs((owner, i, j) => {
    const { stage } = at(owners, owner);
    const [mid, out] = [stage.widths[i], stage.widths[j]];
    return mid === undefined || out === undefined ? 0 : outputCost(at(rows, owner), mid, out);
  });
  const expected = (p: tf.Tensor2D, q: tf.Tensor2D, table: tf.Tensor2D) => {
    const joint = tf.mul(tf.reshape(p, [k, n, 1]), tf.reshape(q, [k, 1, n]));
    return tf.sum(tf.mul(tf.reshape(joint, [k, n * n]), table), 1);
  };
  // The distribution of the output has the factor p_o already.
  return tf.add(tf.mul(operations, expected(input, middle, byInput)), expected(middle, output, byOutput));
}

/** sum_k sum_b p(stage k exits after block b) sum_o p_o E[X_k(out_o)], a scalar. */
function exitCosts(stages: readonly LiveStage[], relaxation: Relaxation, { exits }: CostTable): tf.Scalar {
  const owners = operationsOf(stages);
  const [k, n] = [owners.length, relaxation.widths.shape[1]];
  const costs = matrix(k, n, (row, column) => {
    const { stage, position } = at(owners, row);
    return exitCost(exits[position], stage.widths[column]);
  });
  // The distribution of the output has the factor p_o already.
  const output = tf.slice2d(relaxation.widths, [0, 0], [k, n]);
  const perOperation = tf.sum(tf.mul(output, costs), 1);
  return tf.sum<tf.Scalar>(byExits(stages, relaxation, perOperation, (exit, index) => exit === index + 1));
}

const isFirst = ({ position, index }: { position: number; index: number }): boolean => position === 0 && index === 0;

/** The stage that each block's input is an output of: its own, or for the first block the one before. */
const entered = (stages: readonly LiveStage[]): (LiveStage | undefined)[] =>
  blocksOf(stages).map(({ stage, position, index }) => (index > 0 ? stage : stages[position - 1]));

/** Channels that a reduction's convolution adds to the input of each operation's block. */
const addedChannels = (stages: readonly LiveStage[]): number[] =>
  operationsOf(stages).map(({ stage: { reduction }, position, index }) => {
    if (index > 0) return 0;
    return position === 0 ? reduction.output : reduction.convolution;
  });

/** 1 where an operation (column) belongs to a block (row), [B, K]. */
function operationsOfBlocks(stages: readonly LiveStage[]): tf.Tensor2D {
  const owners = operationsOf(stages);
  return matrix(blocksOf(stages).length, owners.length, (row, column) => (at(owners, column).b === row ? 1 : 0));
}

/** Multiplies values of the operations, [K], by the probability that the network exits at or after their block. */
function reached(stages: readonly LiveStage[], relaxation: Relaxation, values: tf.Tensor): tf.Tensor {
  if (stages.every(({ exits }) => exits.length === 1)) return values;
  return byExits(stages, relaxation, values, (exit, index) => exit > index);
}

/**
 * Multiplies values of the operations, [K], by the probability of those exits of their stage that count for their block. An exit is the number of
 * the block after which it lies, and a block has an index from 0.
 */
function byExits(
  stages: readonly LiveStage[],
  { depths }: Relaxation,
  values: tf.Tensor,
  counts: (exit: number, index: number) => boolean,
): tf.Tensor {
  const owners = operationsOf(stages);
  const [, n] = depths.shape;
  const counted = matrix(stages.length * n, owners.length, (row, column) => {
    const { stage, position, index } = at(owners, column);
    const exit = stage.exits[row % n];
    return position === Math.floor(row / n) && exit !== undefined && counts(exit, index) ? 1 : 0;
  });
  const chances = tf.matMul(tf.reshape(depths, [1, stages.length * n]), counted);
  return tf.mul(values, tf.reshape(chances, [owners.length]));
}
