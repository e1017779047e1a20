import { tf } from "../engine/tf";
import type { CostTable } from "../proto/lathe/v1/space";
import { at, type LiveBlock, type LiveStage } from "./live";
import { named, type Tensors } from "./layers";

/** Probabilities of a stack of groups with the same number of candidates, and which candidates survive. */
interface Groups {
  /** [groups, candidates]; 0 where a candidate has left. */
  p: tf.Tensor2D;
  /** log p, [groups, candidates], finite for every survivor however small its p; meaningless where a candidate has left. */
  logs: tf.Tensor2D;
  survivors: readonly (readonly number[])[];
  candidates: number;
}

export interface BlockRelaxation {
  /** p_o of the surviving operations, [k]. */
  p: tf.Tensor1D;
  /** Expected masks sum_j p_j m_j of output and middle channels, [k, C]. */
  output: tf.Tensor2D;
  middle: tf.Tensor2D;
  /** Expected presence of the block's output channels: sum_o p_o output_o, [C]. */
  presence: tf.Tensor1D;
  groups: { operation: Groups; output: Groups; middle: Groups };
}

export interface StageRelaxation {
  /** p_d of the surviving exits, [m]. */
  depth: tf.Tensor1D;
  blocks: BlockRelaxation[];
  /** Expected presence of the stage's output channels: sum_d p_d presence of block d, [C]. */
  presence: tf.Tensor1D;
  group: Groups;
}

/** Mean Solution Space Regularization per dimension, scalars. */
export interface SsrTerms {
  depth: tf.Scalar;
  operation: tf.Scalar;
  outputWidth: tf.Scalar;
  middleWidth: tf.Scalar;
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

/** The relaxed choices of a supernet from its architecture parameters (method.md section 2). */
export function relax(stages: readonly LiveStage[], alphas: Tensors): StageRelaxation[] {
  return stages.map((stage) => {
    const masks = widthMasks(stage);
    const blocks = stage.blocks.map((block) => relaxBlock(stage, block, alphas, masks));
    const group = row(stage.depths.length, named(alphas, `${stage.name}/depth`));
    const depth = tf.reshape<tf.Rank.R1>(group.p, [stage.depths.length]);
    const reached = stage.exits.map((exit) => at(blocks, exit - 1).presence);
    const presence = tf.reshape<tf.Rank.R1>(tf.matMul(group.p, tf.stack(reached)), [stage.channels]);
    return { depth, blocks, presence, group };
  });
}

function relaxBlock(stage: LiveStage, block: LiveBlock, alphas: Tensors, masks: tf.Tensor2D): BlockRelaxation {
  const k = block.operations.length;
  const operation = row(k, named(alphas, `${block.name}/operation`));
  const outputs = block.operations.map((entry) => entry.output);
  const middles = block.operations.map((entry) => entry.middle);
  const groups = {
    operation,
    output: normalise(named(alphas, `${block.name}/output`) as tf.Tensor2D, outputs, stage.widths.length),
    middle: normalise(named(alphas, `${block.name}/middle`) as tf.Tensor2D, middles, stage.widths.length),
  };
  const output: tf.Tensor2D = tf.matMul(groups.output.p, masks);
  return {
    p: tf.reshape<tf.Rank.R1>(operation.p, [k]),
    output,
    middle: tf.matMul<tf.Tensor2D>(groups.middle.p, masks),
    presence: tf.reshape<tf.Rank.R1>(tf.matMul(operation.p, output), [stage.channels]),
    groups,
  };
}

/** One group whose candidates have all survived, as a stack of one. */
function row(candidates: number, alphas: tf.Tensor): Groups {
  const survivors = [Array.from({ length: candidates }, (_, index) => index)];
  return normalise(tf.reshape<tf.Rank.R2>(alphas, [1, candidates]), survivors, candidates);
}

/** Far below the log-sigmoid of any alpha, and finite: e to the power of it is exactly 0. */
const GONE = -1e9;

/**
 * p_i = sigmoid(alpha_i) / sum over survivors, as the softmax of log sigmoid(alpha): where a sigmoid is 0 in float32, log p and its
 * derivative stay finite. A stack in which all is decided is a constant.
 */
function normalise(alphas: tf.Tensor2D, survivors: readonly (readonly number[])[], candidates: number): Groups {
  const left = tf.tensor2d(
    survivors.map((row) => Array.from({ length: candidates }, (_, index) => (row.includes(index) ? 1 : 0))),
  );
  if (survivors.every((row) => row.length === 1)) return { p: left, logs: tf.zerosLike(left), survivors, candidates };
  // tf.logSigmoid frees what its derivative needs.
  const logSigmoid = tf.neg(tf.softplus(tf.neg(alphas)));
  const gone = tf.mul(tf.sub(1, left), GONE);
  const logs = tf.logSoftmax<tf.Tensor2D>(tf.add(tf.mul(logSigmoid, left), gone));
  return { p: tf.exp(logs), logs, survivors, candidates };
}

/** m_j: 1 on the first w_j channels, [widths, C]. */
function widthMasks(stage: LiveStage): tf.Tensor2D {
  return tf.tensor2d(
    stage.widths.map((width) => Array.from({ length: stage.channels }, (_, channel) => (channel < width ? 1 : 0))),
  );
}

/** SSR per dimension (method.md section 3): the mean over all live groups of (1/n) sum log p + log n, 0 for decided ones. */
export function ssrTerms(relaxation: readonly StageRelaxation[]): SsrTerms {
  const blocks = relaxation.flatMap((stage) => stage.blocks);
  return {
    depth: meanSsr(relaxation.map((stage) => stage.group)),
    operation: meanSsr(blocks.map((block) => block.groups.operation)),
    outputWidth: meanSsr(blocks.map((block) => block.groups.output)),
    middleWidth: meanSsr(blocks.map((block) => block.groups.middle)),
  };
}

function meanSsr(stacks: Groups[]): tf.Scalar {
  const total = stacks.reduce((sum, stack) => sum + stack.survivors.length, 0);
  const terms = stacks
    .filter((stack) => stack.survivors.some((row) => row.length > 1))
    .map(({ logs, survivors, candidates }) => {
      // Each row's 1/n in the place of every survivor, 0 where a candidate has left.
      const share = tf.tensor2d(
        survivors.map((row) => Array.from({ length: candidates }, (_, i) => (row.includes(i) ? 1 / row.length : 0))),
      );
      const constant = survivors.reduce((sum, row) => sum + Math.log(row.length), 0);
      return tf.add(tf.sum(tf.mul(logs, share)), constant);
    });
  return terms.length === 0 ? tf.scalar(0) : tf.div<tf.Scalar>(tf.addN(terms), total);
}

/**
 * Expected cost of the supernet (method.md section 3) in the unit of the table, a scalar: per block the sum over operations of
 * p_o (a in E[mid_o] + b E[mid_o] E[out_o] + c), weighted by the probability that a surviving exit lies at or behind the block.
 */
export function expectedCost(stages: readonly LiveStage[], relaxation: StageRelaxation[], table: CostTable): tf.Scalar {
  const coefficients = new Map(table.candidates.map((candidate) => [candidate.id, candidate]));
  const terms: tf.Tensor[] = [tf.scalar(table.fixed)];
  let inputs: tf.Tensor = tf.scalar(at(stages, 0).channels);
  stages.forEach((stage, position) => {
    const { blocks, depth, presence } = at(relaxation, position);
    blocks.forEach((block, b) => {
      const rows = at(stage.blocks, b).operations.map(({ operation }) => {
        const found = coefficients.get(`${stage.name}/${operation.name}`);
        if (!found) throw new Error(`cost table has no candidate "${stage.name}/${operation.name}"`);
        return found;
      });
      const middle = tf.sum(block.middle, 1);
      const output = tf.sum(block.output, 1);
      const cost = tf.addN([
        tf.mul(tf.mul(middle, tf.tensor1d(rows.map((entry) => entry.inMiddle))), inputs),
        tf.mul(tf.mul(middle, output), tf.tensor1d(rows.map((entry) => entry.middleOut))),
        tf.tensor1d(rows.map((entry) => entry.fixed)),
      ]);
      const reach = tf.sum(tf.mul(depth, tf.tensor1d(stage.exits.map((exit) => (exit > b ? 1 : 0)))));
      terms.push(tf.mul(tf.sum(tf.mul(block.p, cost)), reach));
      inputs = tf.sum(block.presence);
    });
    const next = stages[position + 1];
    if (next) inputs = tf.add(tf.sum(presence), next.channels - stage.channels);
  });
  return tf.addN(terms) as tf.Scalar;
}
