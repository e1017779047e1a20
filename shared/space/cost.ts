import { LatheError } from "../process/errors";
import {
  CostMetric,
  type Architecture,
  type CandidateCost,
  type CostTable,
  type Genotype,
  type Group,
  type SearchSpace,
} from "../proto/lathe/v1/space";
import { networkCosts, strideOf } from "./networkCosts";
import { blockInputs, largestGenotype, sizes } from "./genotype";
import { operations, probabilities, stageOf } from "./groups";
import { liveStages } from "./live";
import { operationName, stageName } from "./parts";

/** Id of a candidate's row in a cost table, such as "stage1/d4s2". */
export function candidateId(stage: number, operation: string): string {
  return `${stageName(stage)}/${operation}`;
}

/**
 * MACs as a cost table. A candidate of stage k at scale s costs 3*in*mid + 3*mid*out per pixel of (h_k/s) x (w_k/s), so
 * in_middle = middle_out = 3 h_k w_k / s^2 and fixed = 0. The table's fixed part is the cost of stem, reductions and search head with all
 * stages at full width: it ignores that narrower blocks make the reductions and the head behind them cheaper.
 */
export function macsTable(space: SearchSpace): CostTable {
  const candidates = space.stages.flatMap((_, index): CandidateCost[] =>
    operations(space).map(({ name, scale }) => {
      const stride = strideOf(index + 1) * scale;
      const perPair = 3 * (space.inputHeight / stride) * (space.inputWidth / stride);
      return { id: candidateId(index + 1, name), inMiddle: perPair, middleOut: perPair, fixed: 0 };
    }),
  );
  const largest = largestGenotype(space);
  // Without blocks, the output of a stage is that of its reduction, which has the stage's full width.
  const stages = largest.stages.map(({ channels }) => ({ channels, blocks: [] }));
  const { macs: fixed } = networkCosts({ ...largest, stages }, { kind: "search" });
  return { metric: CostMetric.COST_METRIC_MACS, candidates, fixed, device: "" };
}

/** Returns a function that finds the row of an operation in a stage (from 1). It throws INVALID_ARGUMENT if the table has none. */
export function candidateCosts(table: CostTable): (stage: number, operation: string) => CandidateCost {
  const rows = new Map(table.candidates.map((row) => [row.id, row]));
  return (stage, operation) => {
    const row = rows.get(candidateId(stage, operation));
    if (row === undefined)
      throw new LatheError("INVALID_ARGUMENT", `cost table has no row "${candidateId(stage, operation)}"`);
    return row;
  };
}

/**
 * Expected cost of a supernet under its probabilities p (docs/method.md#expected-cost), in the table's unit. Expectations of a product
 * are taken as products of expectations. With (A_o, B_o, F_o) = (in_middle, middle_out, fixed) of candidate o in its stage,
 *
 *     M_{b,o} = sum_j p_j w_j    over o's middle-width group;    W_{b,o} likewise over its output-width group
 *     out_b   = sum_o p_o W_{b,o}
 *     in_1    = C_1 in stage 1,  C_k - C_{k-1} + E_{k-1} in stage k >= 2;    in_b = out_{b-1} for b >= 2
 *     E_k     = sum_d p_d out_d                          over the surviving depths of stage k
 *     reach_b = sum_{d >= b} p_d
 *     cost    = fixed + sum_k sum_b reach_b sum_o p_o (A_o in_b M_{b,o} + B_o M_{b,o} W_{b,o} + F_o)
 *
 * At a converged architecture it equals genotypeCost of the derived genotype. It is multilinear in the p of every group.
 */
export function expectedCost(space: SearchSpace, architecture: Architecture, table: CostTable): number {
  const costOf = candidateCosts(table);
  let cost = table.fixed;
  let left = 0;
  liveStages(space, architecture).forEach((stage, index) => {
    const depths = probabilities(stage.depth.alphas);
    let entering = index === 0 ? stage.channels : stage.reduction.convolution + left;
    left = 0;
    stage.blocks.forEach(({ choice, operations }, position) => {
      let reach = 0;
      let exit = 0;
      stage.exits.forEach((depth, d) => {
        const p = depths[d] ?? Number.NaN;
        if (depth > position) reach += p;
        if (depth === position + 1) exit = p;
      });
      const chances = probabilities(choice.alphas);
      let block = 0;
      let out = 0;
      operations.forEach(({ operation, ...groups }, o) => {
        const p = chances[o] ?? Number.NaN;
        const row = costOf(index + 1, operation.name);
        const middle = meanWidth(groups.middle, stage.widths);
        const width = meanWidth(groups.output, stage.widths);
        block += p * (row.inMiddle * entering * middle + row.middleOut * middle * width + row.fixed);
        out += p * width;
      });
      cost += reach * block;
      left += exit * out;
      entering = out;
    });
  });
  return cost;
}

function meanWidth({ alphas, survivors }: Group, widths: readonly number[]): number {
  const p = probabilities(alphas);
  return survivors.reduce((sum, candidate, index) => sum + (p[index] ?? NaN) * (widths[candidate] ?? NaN), 0);
}

/** Exact cost of a discrete network by a table, including the table's fixed part (macsTable describes that of MACs). */
export function genotypeCost(genotype: Genotype, table: CostTable): number {
  const inputs = blockInputs(genotype);
  const costOf = candidateCosts(table);
  return genotype.stages.reduce(
    (total, stage, s) =>
      total +
      stage.blocks.reduce((stageCost, block, b) => {
        const row = costOf(s + 1, operationName(block));
        const input = inputs.stages[s]?.blocks[b] ?? Number.NaN;
        const { middleWidth, outputWidth } = block;
        return stageCost + row.inMiddle * input * middleWidth + row.middleOut * middleWidth * outputWidth + row.fixed;
      }, 0),
    table.fixed,
  );
}

/** Cost of the space's cheapest network: fewest blocks, smallest widths, and per stage the cheapest candidate. No target can be lower. */
function costOfSmallest(space: SearchSpace, table: CostTable): number {
  const stages = space.stages.map((stage, index) => {
    const [width = stage.channels] = stage.widths;
    const costs = candidateCosts(table);
    const block = operations(space)
      .map(({ dilation, scale, name }) => {
        const row = costs(index + 1, name);
        const cost = (row.inMiddle + row.middleOut) * width * width + row.fixed;
        return { cost, block: { dilation, scale, middleWidth: width, outputWidth: width } };
      })
      .reduce((best, other) => (other.cost < best.cost ? other : best)).block;
    return { channels: stage.channels, blocks: Array.from({ length: stage.minDepth }, () => ({ ...block })) };
  });
  return genotypeCost({ ...sizes(space), stages }, table);
}

/**
 * Cost of the space's largest network: full depth, full widths, and per stage the most expensive candidate of the table (for MACs any at
 * scale 1). It is an upper bound of expectedCost. The cost target refers to expectedCost / costOfLargest.
 */
export function costOfLargest(space: SearchSpace, table: CostTable): number {
  const costOf = candidateCosts(table);
  return space.stages.reduce((total, _, index) => {
    const { channels, maxDepth } = stageOf(space, index + 1);
    const dearest = Math.max(
      ...operations(space).map(({ name }) => {
        const row = costOf(index + 1, name);
        return (row.inMiddle + row.middleOut) * channels * channels + row.fixed;
      }),
    );
    return total + maxDepth * dearest;
  }, table.fixed);
}

/** Cost of the space's cheapest network as a share of the largest network's. */
export function smallestCostRatio(space: SearchSpace, table: CostTable): number {
  return costOfSmallest(space, table) / costOfLargest(space, table);
}
