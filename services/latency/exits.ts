import type { CandidateCost, ExitCosts, Genotype, SearchSpace } from "../../shared/proto/lathe/v1/space";
import { candidateId, outputCost } from "../../shared/space/cost";
import { withoutBlocks } from "../../shared/space/genotype";
import { operationFields, operations, stageOf } from "../../shared/space/groups";
import { kindOf } from "../../shared/space/kinds/kinds";
import { at } from "../../shared/space/live";
import { middleBounds, stageBounds } from "./bounds";

/** A network of which one stage ends in a width. */
interface ExitPoint {
  /** Number of the stage, from 1, and the output width of its only block. */
  stage: number;
  width: number;
  /** The width of the block's middle. */
  middle: number;
  genotype: Genotype;
}

/**
 * The networks that tell the cost of what lies behind a stage by the output width of its last block: without blocks but for one in that stage, the
 * first operation of the space at the narrowest middle.
 */
export function exitPoints(space: SearchSpace, tile: number): ExitPoint[] {
  const first = at(operations(space), 0);
  const bare = withoutBlocks(space);
  return stageBounds(space, tile).flatMap(({ outputs }, index) => {
    const [middle = 0] = middleBounds(stageOf(space, index + 1), kindOf(first).expansion, tile);
    // A stage of one width costs the same behind it whatever is chosen.
    return (outputs.length > 1 ? outputs : []).map((width) => {
      const block = { ...operationFields(first), middleWidth: middle, outputWidth: width };
      const stages = bare.stages.map((stage, place) => (place === index ? { ...stage, blocks: [block] } : stage));
      return { stage: index + 1, width, middle, genotype: { ...bare, stages } };
    });
  });
}

/**
 * The exit costs X of each stage, from the times T of its exit points: X(w) = T(w) - T(full) - (B(middle, w) - B(middle, full)), where B is what the
 * table `candidates` counts for the block already.
 */
export function exitCosts(
  space: SearchSpace,
  points: readonly (ExitPoint & { time: number })[],
  candidates: readonly CandidateCost[],
): ExitCosts[] {
  const [first] = operations(space);
  return space.stages.map(({ channels }, index) => {
    const own = points.filter(({ stage }) => stage === index + 1);
    const full = own.at(-1);
    const row = candidates.find(({ id }) => id === candidateId(index + 1, first?.name ?? ""));
    if (!full || !row) return { widths: [channels], costs: [0] };
    const behind = ({ time, middle, width }: (typeof own)[number]) => time - outputCost(row, middle, width);
    return { widths: own.map(({ width }) => width), costs: own.map((point) => behind(point) - behind(full)) };
  });
}
