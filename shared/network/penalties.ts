import { tf } from "../engine/tf";
import type { CostTable } from "../proto/lathe/v1/space";
import { candidateCosts } from "../space/cost";
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
 * p_o (a in E[mid_o] + b E[mid_o] E[out_o] + c), times the probability that the network exits at or after the block.
 */
export function expectedCost(stages: readonly LiveStage[], relaxation: Relaxation, table: CostTable): tf.Scalar {
  const costOf = candidateCosts(table);
  const [owners, blocks] = [operationsOf(stages), blocksOf(stages)];
  const [k, b] = [owners.length, blocks.length];
  const rows = owners.map(({ position, operation: { operation } }) => costOf(position + 1, operation.name));
  const entered = blocks.map(({ stage, position, index }) => (index > 0 ? stage : stages[position - 1]));
  const stageOf = [...[...owners, ...owners, ...blocks].map(({ stage }) => stage), ...entered];
  const sizes = matrix(2 * k + 2 * b, relaxation.widths.shape[1], (row, column) => stageOf[row]?.widths[column] ?? 0);
  // p_o E[out_o], E[mid_o], and each block's expected input channels without those that a reduction's convolution adds.
  type Four = [tf.Tensor1D, tf.Tensor1D, tf.Tensor1D, tf.Tensor1D];
  const [output, middle, , handed] = tf.split(tf.sum(tf.mul(relaxation.widths, sizes), 1), [k, k, b, b]) as Four;
  const added = owners.map(({ stage: { reduction }, position, index }) => {
    if (index > 0) return 0;
    return position === 0 ? reduction.output : reduction.convolution;
  });
  const perOperation = matrix(b, k, (row, column) => (at(owners, column).b === row ? 1 : 0));
  const inputs = tf.add(tf.reshape(tf.matMul(tf.reshape(handed, [1, b]), perOperation), [k]), tf.tensor1d(added));
  const { operations } = relaxation;
  const byInput = tf.mul(tf.mul(operations, tf.tensor1d(rows.map((row) => row.inMiddle))), inputs);
  const byOutput = tf.mul(output, tf.tensor1d(rows.map((row) => row.middleOut)));
  const fixed = tf.mul(operations, tf.tensor1d(rows.map((row) => row.fixed)));
  const costs = tf.add(tf.mul(middle, tf.add(byInput, byOutput)), fixed);
  return tf.add<tf.Scalar>(tf.sum(reached(stages, relaxation, costs)), table.fixed);
}

/** Multiplies values of the operations, [K], by the probability that the network exits at or after their block. */
function reached(stages: readonly LiveStage[], { depths }: Relaxation, values: tf.Tensor): tf.Tensor {
  if (stages.every(({ exits }) => exits.length === 1)) return values;
  const owners = operationsOf(stages);
  const [, n] = depths.shape;
  const behind = matrix(stages.length * n, owners.length, (row, column) => {
    const { stage, position, index } = at(owners, column);
    return position === Math.floor(row / n) && (stage.exits[row % n] ?? 0) > index ? 1 : 0;
  });
  const reach = tf.matMul(tf.reshape(depths, [1, stages.length * n]), behind);
  return tf.mul(values, tf.reshape(reach, [owners.length]));
}
