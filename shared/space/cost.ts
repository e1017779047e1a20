import { LatheError } from "../process/errors";
import {
  CostMetric,
  type Architecture,
  type CandidateCost,
  type CostTable,
  type ExitCosts,
  type Genotype,
  type Group,
  type SearchSpace,
  type WidthCosts,
} from "../proto/lathe/v1/space";
import { JOINED, searchedHead, withHeadWidths, type HeadWidth } from "./head";
import { cheapestHead, headPoints, headTables, headTerms } from "./headTables";
import { networkCosts } from "./networkCosts";
import { blockInputs, sizes, withoutBlocks } from "./genotype";
import { operationFields, operations, probabilities, stageOf } from "./groups";
import { halfMacs, kindOf } from "./kinds/kinds";
import { liveHead, liveStages } from "./live";
import { operationName, stageName, strideOf } from "./parts";
import { boundOf, widthCost } from "./widthCosts";

/** Id of a candidate's row in a cost table, such as "stage1/d4s2". */
export function candidateId(stage: number, operation: string): string {
  return `${stageName(stage)}/${operation}`;
}

/**
 * MACs as a cost table. A factorized candidate of stage k at scale s costs 3*in*mid + 3*mid*out per pixel of (h_k/s) x (w_k/s), so
 * in_middle = middle_out = 3 h_k w_k / s^2 and fixed = 0; a depthwise convolution adds per_input or per_middle, and an expansion multiplies what
 * counts per channel of the middle width. The table's fixed part is
 * the cost of stem, reductions and head with all stages at full width: it ignores that narrower blocks make the reductions and the
 * head behind them cheaper. What narrower units of the head save behind stages of full width is exact (CostTable.head, CostTable.detail).
 */
export function macsTable(space: SearchSpace): CostTable {
  const candidates = space.stages.flatMap((_, index): CandidateCost[] =>
    operations(space).map((operation) => {
      const stride = strideOf(index + 1) * operation.scale;
      const pixels = (space.inputHeight / stride) * (space.inputWidth / stride);
      const { expansion, ...halves } = kindOf(operation);
      const [first, second] = [halfMacs(halves.first), halfMacs(halves.second)];
      return {
        id: candidateId(index + 1, operation.name),
        ...{ inMiddle: expansion * first.perPair * pixels, middleOut: expansion * second.perPair * pixels, fixed: 0 },
        ...{ perInput: first.perInput * pixels, perMiddle: expansion * second.perInput * pixels },
        ...{ byInput: undefined, byOutput: undefined },
      };
    }),
  );
  const { macs: fixed } = networkCosts(withoutBlocks(space), searchedHead(space));
  const measured = { device: "", check: undefined, exits: [], unit: undefined };
  const macsOf = (genotype: Genotype) => networkCosts(genotype, searchedHead(space)).macs;
  const head = headTables(space, headPoints(space).map(macsOf), fixed);
  return { metric: CostMetric.COST_METRIC_MACS, candidates, fixed, ...measured, ...head };
}

/** Cost of a network's head, less that at full width, in the table's unit. */
const headCost = (genotype: Genotype, table: CostTable): number =>
  headTerms(table).reduce((sum, { other, cost }) => sum + cost(genotype.joinedWidth, genotype[other.field]), 0);

/** Cost of a block's part between its input and its middle, A(in, middle), in the table's unit. */
export const inputCost = ({ inMiddle, perInput, byInput }: CandidateCost, input: number, middle: number): number =>
  byInput ? widthCost(byInput, input, middle) : inMiddle * input * middle + perInput * input;

/** Cost of a block's part between its middle and its output, B(middle, out), in the table's unit. */
export const outputCost = (
  { middleOut, perMiddle, byOutput }: CandidateCost,
  middle: number,
  output: number,
): number => (byOutput ? widthCost(byOutput, middle, output) : middleOut * middle * output + perMiddle * middle);

/**
 * Cost of what lies behind a stage whose last block has an output width, X(out), less that at full width. 0 where the table has none, and for a
 * stage without blocks, which has full width.
 */
export function exitCost(exits: ExitCosts | undefined, width: number | undefined): number {
  if (!exits || width === undefined) return 0;
  const { widths, costs } = exits;
  const cost = costs[boundOf(widths, width)];
  if (cost !== undefined) return cost;
  throw new LatheError(
    "INVALID_ARGUMENT",
    `the cost table has no exit of width ${width}, at most ${widths.at(-1) ?? 0}`,
  );
}

const blockCost = (row: CandidateCost, input: number, middle: number, output: number): number =>
  inputCost(row, input, middle) + outputCost(row, middle, output) + row.fixed;

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
 * Expected cost of a supernet under its probabilities p (docs/method.md#expected-cost), in the table's unit. Choices are independent, so it
 * is exact. With A_o, B_o, F_o of candidate o in its stage, and random widths
 *
 *     M_{b,o} of o's middle-width group, W_{b,o} of its output-width group
 *     out_b   = W_{b,o} with probability p_o
 *     in_1    = C_1 in stage 1,  C_k - C_{k-1} + E_{k-1} in stage k >= 2;    in_b = out_{b-1} for b >= 2
 *     E_k     = out_d with probability p_d               over the surviving depths of stage k
 *     reach_b = sum_{d >= b} p_d
 *     cost    = fixed + E[H] + sum_k (E[X_k(E_k)] + sum_b reach_b sum_o p_o (E[A_o(in_b, M_{b,o})] + E[B_o(M_{b,o}, W_{b,o})] + F_o))
 *
 * At a converged architecture it equals genotypeCost of the derived genotype. It is multilinear in the p of every group.
 */
export function expectedCost(space: SearchSpace, architecture: Architecture, table: CostTable): number {
  const costOf = candidateCosts(table);
  let cost = table.fixed;
  let left: Chances = [];
  liveStages(space, architecture).forEach((stage, index) => {
    const depths = probabilities(stage.depth.alphas);
    const { convolution } = stage.reduction;
    let entering: Chances = index === 0 ? [[stage.channels, 1]] : left.map(([width, p]) => [convolution + width, p]);
    left = [];
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
      const out = new Map<number, number>();
      operations.forEach(({ operation, ...groups }, o) => {
        const chance = chances[o] ?? Number.NaN;
        const row = costOf(index + 1, operation.name);
        const middle = widthChances(groups.middle, stage.widths);
        const widths = widthChances(groups.output, stage.widths);
        const byInput = mean(entering, middle, (input, width) => inputCost(row, input, width));
        const byOutput = mean(middle, widths, (width, output) => outputCost(row, width, output));
        block += chance * (byInput + byOutput + row.fixed);
        for (const [width, p] of widths) out.set(width, (out.get(width) ?? 0) + chance * p);
      });
      cost += reach * block;
      entering = [...out];
      left = [...left, ...entering.map(([width, p]) => [width, exit * p] as const)];
    });
    const exits = table.exits[index];
    cost += left.reduce((sum, [width, p]) => sum + p * exitCost(exits, width), 0);
  });
  const live = liveHead(space, architecture);
  const chances = (of: HeadWidth): Chances => {
    const found = live.find(({ width }) => width === of);
    return found ? widthChances(found.group, of.candidates(space)) : [[of.full(space), 1]];
  };
  return headTerms(table).reduce((sum, term) => sum + mean(chances(JOINED), chances(term.other), term.cost), cost);
}

/** The values of a random width with their chances; a width may occur in several entries. */
type Chances = readonly (readonly [width: number, chance: number])[];

function widthChances({ alphas, survivors }: Group, widths: readonly number[]): Chances {
  const p = probabilities(alphas);
  return survivors.map((candidate, index) => [widths[candidate] ?? Number.NaN, p[index] ?? Number.NaN]);
}

const mean = (first: Chances, second: Chances, cost: (a: number, b: number) => number): number =>
  first.reduce((sum, [a, p]) => sum + second.reduce((inner, [b, q]) => inner + p * q * cost(a, b), 0), 0);

/** Exact cost of a discrete network by a table, including the table's fixed part (macsTable describes that of MACs). */
export function genotypeCost(genotype: Genotype, table: CostTable): number {
  const inputs = blockInputs(genotype);
  const costOf = candidateCosts(table);
  return genotype.stages.reduce(
    (total, stage, s) =>
      total +
      stage.blocks.reduce(
        (stageCost, block, b) => {
          const row = costOf(s + 1, operationName(block));
          const input = inputs.stages[s]?.blocks[b] ?? Number.NaN;
          return stageCost + blockCost(row, input, block.middleWidth, block.outputWidth);
        },
        exitCost(table.exits[s], stage.blocks.at(-1)?.outputWidth),
      ),
    table.fixed + headCost(genotype, table),
  );
}

/** The space's cheapest network by a table: fewest blocks, smallest widths, and per stage the cheapest candidate, with the cheapest head. No target can be lower. */
export function smallestGenotype(space: SearchSpace, table: CostTable): Genotype {
  const stages = space.stages.map((stage, index) => {
    const [width = stage.channels] = stage.widths;
    const costs = candidateCosts(table);
    const block = operations(space)
      .map((operation) => {
        const row = costs(index + 1, operation.name);
        const cost = blockCost(row, width, width, width);
        return { cost, block: { ...operationFields(operation), middleWidth: width, outputWidth: width } };
      })
      .reduce((best, other) => (other.cost < best.cost ? other : best)).block;
    return { channels: stage.channels, blocks: Array.from({ length: stage.minDepth }, () => ({ ...block })) };
  });
  return withHeadWidths({ ...sizes(space), stages }, cheapestHead(space, table));
}

/**
 * Cost of the space's largest network: full depth, and per stage the most expensive candidate of the table at its most expensive widths,
 * which for MACs are all channels, with the most expensive head. It is an upper bound of expectedCost. The cost target refers to expectedCost / costOfLargest.
 */
export function costOfLargest(space: SearchSpace, table: CostTable): number {
  const costOf = candidateCosts(table);
  return space.stages.reduce(
    (total, _, index) => {
      const { channels, maxDepth } = stageOf(space, index + 1);
      const costs = operations(space).map(({ name }) => largestBlock(costOf(index + 1, name), channels));
      return total + maxDepth * Math.max(...costs) + Math.max(0, ...(table.exits[index]?.costs ?? []));
    },
    headTerms(table).reduce((sum, { most }) => sum + most, table.fixed),
  );
}

function largestBlock(row: CandidateCost, channels: number): number {
  const most = (costs: WidthCosts | undefined, full: number) => (costs ? Math.max(...costs.costs) : full);
  const products = { ...row, byInput: undefined, byOutput: undefined };
  const first = most(row.byInput, inputCost(products, channels, channels));
  return first + most(row.byOutput, outputCost(products, channels, channels)) + row.fixed;
}

/** Cost of the space's cheapest network as a share of the largest network's. */
export function smallestCostRatio(space: SearchSpace, table: CostTable): number {
  return genotypeCost(smallestGenotype(space, table), table) / costOfLargest(space, table);
}
