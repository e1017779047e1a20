import { LatheError } from "../process/errors";
import type { CostTable, Genotype, GenotypeBlock, GenotypeStage, SearchSpace } from "../proto/lathe/v1/space";
import { costOfLargest, genotypeCost, smallestCostRatio } from "./cost";
import { headLines, sizes } from "./genotype";
import { headWidth, searchedWidths, withHeadWidths } from "./head";
import { operationFields, operations, stageOf, withOperation } from "./groups";
import { operationName } from "./parts";

/** The method of the engine's seeded generator that drawing uses. */
export interface Draws {
  /** Uniform in 0..bound-1. */
  integer(bound: number): number;
}

/** Draws a network of a space. Every choice is uniform over its candidates: depths, then operation and widths per block, then those of the head. */
export function randomGenotype(space: SearchSpace, random: Draws): Genotype {
  const stages = space.stages.map(({ channels, minDepth, maxDepth }, index) => ({
    channels,
    blocks: Array.from({ length: minDepth + random.integer(maxDepth - minDepth + 1) }, () =>
      randomBlock(space, index + 1, random),
    ),
  }));
  const head = new Map(searchedWidths(space).map((width) => [width, pick(width.candidates(space), random)]));
  return withHeadWidths({ ...sizes(space), stages }, (width) => head.get(width) ?? width.full(space));
}

function randomBlock(space: SearchSpace, stage: number, random: Draws): GenotypeBlock {
  const { widths } = stageOf(space, stage);
  const candidates = operations(space);
  // Kind and dilation, then the scale: a space of factorized operations has the networks of earlier versions.
  const first = pick(candidates.slice(0, candidates.length / space.scales.length), random);
  const operation = { ...operationFields(first), scale: pick(space.scales, random) };
  return { ...operation, middleWidth: pick(widths, random), outputWidth: pick(widths, random) };
}

/**
 * Changes one decision of a genotype, drawn uniformly among those with another candidate: a stage's depth (blocks at the end are removed,
 * or new ones drawn), a block's operation, middle width or output width, or a width of the head. Returns the genotype itself if the space has no other.
 */
function mutate(genotype: Genotype, space: SearchSpace, random: Draws): Genotype {
  const changes = [
    ...genotype.stages.flatMap((stage, index) => {
      const replaced = (by: GenotypeStage) => genotype.stages.map((one, at) => (at === index ? by : one));
      const changesInStage = changesOf(stage, index, space, random);
      return changesInStage.map((changed) => (): Genotype => ({ ...genotype, stages: replaced(changed()) }));
    }),
    ...headChanges(genotype, space, random),
  ];
  return changes.length > 0 ? pick(changes, random)() : genotype;
}

function headChanges(genotype: Genotype, space: SearchSpace, random: Draws): (() => Genotype)[] {
  const changeable = searchedWidths(space).filter(({ candidates }) => candidates(space).length > 1);
  return changeable.map((width) => () => {
    const to = other(width.candidates(space), headWidth(width, genotype), random);
    return withHeadWidths(genotype, (each) => (each === width ? to : headWidth(each, genotype)));
  });
}

function changesOf(stage: GenotypeStage, index: number, space: SearchSpace, random: Draws): (() => GenotypeStage)[] {
  const { minDepth, maxDepth, widths } = stageOf(space, index + 1);
  const candidates = operations(space);
  const changes: (() => GenotypeStage)[] = [];
  const add = (candidates: number, changed: () => GenotypeStage) => {
    if (candidates > 1) changes.push(changed);
  };
  add(maxDepth - minDepth + 1, () => {
    const depths = Array.from({ length: maxDepth - minDepth + 1 }, (_, at) => minDepth + at);
    const depth = other(depths, stage.blocks.length, random);
    const added = Array.from({ length: Math.max(0, depth - stage.blocks.length) }, () =>
      randomBlock(space, index + 1, random),
    );
    return { ...stage, blocks: [...stage.blocks.slice(0, depth), ...added] };
  });
  stage.blocks.forEach((block, position) => {
    const replaced = (by: GenotypeBlock) => ({
      ...stage,
      blocks: stage.blocks.map((one, at) => (at === position ? by : one)),
    });
    add(candidates.length, () => {
      const others = candidates.filter(({ name }) => name !== operationName(block));
      return replaced(withOperation(block, pick(others, random)));
    });
    add(widths.length, () => replaced({ ...block, middleWidth: other(widths, block.middleWidth, random) }));
    add(widths.length, () => replaced({ ...block, outputWidth: other(widths, block.outputWidth, random) }));
  });
  return changes;
}

function pick<T>(list: readonly T[], random: Draws): T {
  return list[random.integer(list.length)] as T;
}

function other(list: readonly number[], than: number, random: Draws): number {
  const others = list.filter((value) => value !== than);
  return pick(others, random);
}

/** The networks of a space whose cost ratio lies within a window. */
export interface CostWindow {
  /** Cost of a network as a share of the largest network's. */
  ratio(genotype: Genotype): number;
  /** Cost ratio of the cheapest network. */
  smallest: number;
  /** Draws a network of the window. FAILED_PRECONDITION (COST_WINDOW_EMPTY) if none is found. */
  draw(random: Draws): Genotype;
  /** Draws another network of the window near the given one; returns the given one if no other is found. */
  vary(genotype: Genotype, random: Draws): Genotype;
}

/** Uniform draws before local search begins, and local searches before the window counts as empty. */
const DRAWS = 100;
const RESTARTS = 40;
/** Mutations per local search: enough to try each decision of a large space a few times. */
const PROPOSALS = 300;

/**
 * The window of cost ratios from (1 - tolerance) * target to target. If uniform draws miss it, a network is drawn and moved towards it:
 * mutations that bring its cost nearer are kept. FAILED_PRECONDITION (COST_TARGET_UNREACHABLE) if the cheapest network is above the
 * target.
 */
export function costWindow(
  space: SearchSpace,
  table: CostTable,
  { target, tolerance }: { target: number; tolerance: number },
): CostWindow {
  const largest = costOfLargest(space, table);
  const smallest = smallestCostRatio(space, table);
  const least = (1 - tolerance) * target;
  const ratio = (genotype: Genotype) => genotypeCost(genotype, table) / largest;
  if (smallest > target)
    throw new LatheError(
      "FAILED_PRECONDITION",
      `cost.target is ${target}, but the smallest network of the space costs ${smallest.toFixed(3)} of the largest; give space smaller widths or depths`,
      { reason: "COST_TARGET_UNREACHABLE" },
    );
  /** Distance of a network's cost ratio from the window; 0 within it. */
  const miss = (genotype: Genotype) => {
    const share = ratio(genotype);
    return Math.max(0, share - target, least - share);
  };
  const approach = (start: Genotype, random: Draws): Genotype | undefined => {
    let best = start;
    let distance = miss(best);
    for (let at = 0; at < PROPOSALS && distance > 0; at++) {
      const next = mutate(best, space, random);
      const reached = miss(next);
      if (reached < distance) [best, distance] = [next, reached];
    }
    return distance === 0 ? best : undefined;
  };
  return {
    ratio,
    smallest,
    draw: (random) => {
      for (let at = 0; at < DRAWS; at++) {
        const genotype = randomGenotype(space, random);
        if (miss(genotype) === 0) return genotype;
      }
      for (let at = 0; at < RESTARTS; at++) {
        const genotype = approach(randomGenotype(space, random), random);
        if (genotype) return genotype;
      }
      throw new LatheError(
        "FAILED_PRECONDITION",
        `no network found that costs ${least.toFixed(3)} to ${target} of the largest, in ${DRAWS} draws and ${RESTARTS} searches: raise sampling.cost_tolerance`,
        { reason: "COST_WINDOW_EMPTY" },
      );
    },
    vary: (genotype, random) => {
      for (let at = 0; at < RESTARTS; at++) {
        const near = approach(mutate(genotype, space, random), random);
        if (near && keyOf(near) !== keyOf(genotype)) return near;
      }
      return genotype;
    },
  };
}

/** A text that is different for different networks of one space. */
export function keyOf(genotype: Genotype): string {
  const stages = genotype.stages.map(({ blocks }) =>
    blocks.map((block) => [operationName(block), block.middleWidth, block.outputWidth].join()).join(" "),
  );
  return [...stages, ...headLines(genotype)].join(" / ");
}
