import { LatheError } from "../process/errors";
import type { DimensionMetrics } from "../proto/lathe/v1/result";
import {
  Dimension,
  type Architecture,
  type GenotypeBlock,
  type Group,
  type OperationKind,
  type SearchSpace,
  type Stage,
} from "../proto/lathe/v1/space";
import { factorized } from "./kinds/factorized";
import type { Kind } from "./kinds/kind";
import { kindOf } from "./kinds/kinds";
import { searchedWidths } from "./head";
import { blockName, largest, operationName, stageName } from "./parts";

/** A candidate operation of a search block: an operation of a kind, with this dilation, at 1/scale of the block's resolution. */
export interface Operation {
  kind: OperationKind;
  dilation: number;
  scale: number;
  /** "d4s2", "plain-d1s1" */
  name: string;
}

/** Dilations of the candidates of a kind. */
const dilationsOf = ({ dilated }: Kind, { dilations }: Pick<SearchSpace, "dilations">): readonly number[] =>
  dilated ? dilations : [1];

/** The kinds of a space's candidates. */
export const spaceKinds = ({ kinds }: Pick<SearchSpace, "kinds">): readonly Kind[] =>
  kinds.length > 0 ? kinds.map((kind) => kindOf({ kind })) : [factorized];

/** The candidate operations of every block, in the order of the operation group: by scale, then by kind, then by dilation. */
export function operations(space: SearchSpace): Operation[] {
  return space.scales.flatMap((scale) =>
    spaceKinds(space).flatMap((each) =>
      dilationsOf(each, space).map((dilation) => {
        const { kind } = each;
        return { kind, dilation, scale, name: operationName({ kind, dilation, scale }) };
      }),
    ),
  );
}

/** The operation of a block of a genotype, as its fields. A factorized operation leaves its kind out. */
export function operationFields({
  kind,
  dilation,
  scale,
}: Operation): Pick<GenotypeBlock, "kind" | "dilation" | "scale"> {
  return { dilation, scale, ...(kind !== factorized.kind && { kind }) };
}

/** A block with another operation and its own widths. */
export function withOperation({ middleWidth, outputWidth }: GenotypeBlock, operation: Operation): GenotypeBlock {
  return { ...operationFields(operation), middleWidth, outputWidth };
}

/** Group ids; stage and block count from 1. */
export function depthId(stage: number): string {
  return `${stageName(stage)}/depth`;
}

export function operationId(stage: number, block: number): string {
  return `${blockName(stage, block)}/operation`;
}

export function widthId(block: string, operation: string, kind: "output" | "middle"): string {
  return `${block}/${operation}/${kind}`;
}

/** The stage of a number, from 1. NOT_FOUND if the space has no such stage. */
export function stageOf(space: SearchSpace, stage: number): Stage {
  const found = space.stages[stage - 1];
  if (found === undefined)
    throw new LatheError("NOT_FOUND", `stage ${stage} is not in a space of ${space.stages.length} stages`);
  return found;
}

/** A decision group as a space declares it. */
export interface SpaceGroup {
  id: string;
  dimension: Dimension;
  /** Name of each candidate: a depth ("3"), an operation ("d4s2"), a width ("48"). */
  candidates: readonly string[];
}

/** The groups of a stage: its depth, and the groups of each block that a surviving depth includes. */
interface StageGroups {
  depth: SpaceGroup;
  blocks: { operation: SpaceGroup; widths: { index: number; output: SpaceGroup; middle: SpaceGroup }[] }[];
}

/**
 * The hierarchy of shrinking. A block is live if the deepest surviving depth of its stage includes it. The width groups of an operation are
 * live if the operation survives in its block. A group without survivors has no live groups below it.
 */
export function hierarchy(space: SearchSpace, survivors: (group: SpaceGroup) => readonly number[]): StageGroups[] {
  const names = operations(space).map(({ name }) => name);
  return space.stages.map(({ minDepth, maxDepth, widths }, index) => {
    const s = index + 1;
    const depths = Array.from({ length: maxDepth - minDepth + 1 }, (_, candidate) => String(minDepth + candidate));
    const depth = { id: depthId(s), dimension: Dimension.DIMENSION_DEPTH, candidates: depths };
    const deepest = minDepth + largest(survivors(depth));
    const blocks = Array.from({ length: Math.max(0, Math.min(deepest, maxDepth)) }, (_, position) => {
      const b = position + 1;
      const operation = { id: operationId(s, b), dimension: Dimension.DIMENSION_OPERATION, candidates: names };
      const left = new Set(survivors(operation));
      const widthGroups = names.flatMap((name, candidate) => {
        if (!left.has(candidate)) return [];
        const candidates = widths.map(String);
        const id = (kind: "output" | "middle") => widthId(blockName(s, b), name, kind);
        const output = { id: id("output"), dimension: Dimension.DIMENSION_OUTPUT_WIDTH, candidates };
        const middle = { id: id("middle"), dimension: Dimension.DIMENSION_MIDDLE_WIDTH, candidates };
        return [{ index: candidate, output, middle }];
      });
      return { operation, widths: widthGroups };
    });
    return { depth, blocks };
  });
}

/** The groups of the head's widths. They belong to no other group. */
export function headGroups(space: SearchSpace): SpaceGroup[] {
  return searchedWidths(space).map(({ id, candidates }) => ({
    ...{ id, dimension: Dimension.DIMENSION_OUTPUT_WIDTH },
    candidates: candidates(space).map(String),
  }));
}

/**
 * The groups of a space in order: per stage the depth; per block the operation; per operation output width and middle width; then the widths of
 * the head.
 */
function listed(space: SearchSpace, survivors: (group: SpaceGroup) => readonly number[]): SpaceGroup[] {
  const inStages = hierarchy(space, survivors).flatMap(({ depth, blocks }) => [
    depth,
    ...blocks.flatMap(({ operation, widths }) => [
      operation,
      ...widths.flatMap(({ output, middle }) => [output, middle]),
    ]),
  ]);
  return [...inStages, ...headGroups(space)];
}

/** The live groups, which an architecture must hold. */
export function liveGroups(space: SearchSpace, groups: ReadonlyMap<string, Group>): SpaceGroup[] {
  return listed(space, ({ id }) => groups.get(id)?.survivors ?? []);
}

/** All groups of a space, in the order of initialArchitecture. */
export function spaceGroups(space: SearchSpace): SpaceGroup[] {
  return listed(space, ({ candidates }) => [...candidates.keys()]);
}

/** The architecture at the start of a search: all groups, all candidates, alphas 0 (uniform p). */
export function initialArchitecture(space: SearchSpace): Architecture {
  return {
    groups: spaceGroups(space).map(({ id, dimension, candidates }) => ({
      id,
      dimension,
      alphas: candidates.map(() => 0),
      survivors: [...candidates.keys()],
    })),
  };
}

/** Groups by id, in order. */
export function indexGroups<G extends { id: string }>({ groups }: { groups: readonly G[] }): Map<string, G> {
  return new Map(groups.map((entry) => [entry.id, entry]));
}

/** The live group of an id. NOT_FOUND if the group was removed or does not exist. */
export function group(source: ReadonlyMap<string, Group> | Architecture, id: string): Group {
  const found = "groups" in source ? source.groups.find((entry) => entry.id === id) : source.get(id);
  if (found === undefined)
    throw new LatheError("NOT_FOUND", `group "${id}" is not live in this architecture`, { metadata: { group: id } });
  return found;
}

/**
 * p_i = sigmoid(alpha_i) / sum_j sigmoid(alpha_j) over the survivors (docs/method.md#relaxation). Logarithms keep p finite for every
 * finite alpha.
 */
export function probabilities(alphas: ArrayLike<number>): number[] {
  const logs = Array.from(alphas, logSigmoid);
  const top = largest(logs);
  const scaled = logs.map((value) => Math.exp(value - top));
  const sum = scaled.reduce((total, value) => total + value, 0);
  return scaled.map((value) => value / sum);
}

function logSigmoid(alpha: number): number {
  return Math.min(alpha, 0) - Math.log1p(Math.exp(-Math.abs(alpha)));
}

/** Whether every live group has one survivor. */
export function isConverged(architecture: Architecture): boolean {
  return architecture.groups.every((entry) => entry.survivors.length === 1);
}

/** Number of survivors in all live groups. */
export function candidatesLeft({ groups }: Pick<Architecture, "groups">): number {
  return groups.reduce((total, entry) => total + entry.survivors.length, 0);
}

/** Name of a candidate. NOT_FOUND if the space has no such group or candidate. */
export function candidateValue(groups: ReadonlyMap<string, SpaceGroup>, id: string, candidate: number): string {
  const value = declared(groups, id).candidates[candidate];
  if (value === undefined)
    throw new LatheError("NOT_FOUND", `candidate ${candidate} of group "${id}" is not in the space`);
  return value;
}

function declared(groups: ReadonlyMap<string, SpaceGroup>, id: string): SpaceGroup {
  const found = groups.get(id);
  if (found === undefined) throw new LatheError("NOT_FOUND", `group "${id}" is not in the space`);
  return found;
}

/** Entropy of a distribution, in nats; 0 log 0 = 0. */
function entropy(p: ArrayLike<number>): number {
  let sum = 0;
  for (const value of Array.from(p)) if (value > 0) sum -= value * Math.log(value);
  return sum;
}

/** Solution Space Regularization of one group: (1/n) sum_i log p_i + log n (docs/method.md#regularization); 0 with one survivor. */
export function ssr(p: ArrayLike<number>): number {
  if (p.length <= 1) return 0;
  const sum = Array.from(p).reduce((total, value) => total + Math.log(value), 0);
  return sum / p.length + Math.log(p.length);
}

/**
 * Entropy of a dimension: the mean, over its live groups that began with several candidates, of entropy / log(initial candidates). It is 1
 * if no candidate is preferred and 0 if all groups are decided. Unlike the normalised entropy, it falls with every removed candidate.
 */
export function openness(space: SearchSpace, { groups }: Architecture, dimension: Dimension): number {
  const all = indexGroups({ groups: spaceGroups(space) });
  return mean(
    groups.flatMap((entry) => {
      const candidates = entry.dimension === dimension ? declared(all, entry.id).candidates.length : 1;
      return candidates > 1 ? [entropy(probabilities(entry.alphas)) / Math.log(candidates)] : [];
    }),
  );
}

/**
 * The choice with the largest share of the groups' probability: (sum of p over groups) / (groups + 1). The added 1 keeps a few groups that
 * agree, as in a small network, from counting as dominance: five agreeing groups have 0.83, nine have 0.90. The share is 0 if there is only
 * one choice. `choiceOf` maps a candidate to its choice.
 */
export function dominance(
  groups: readonly Group[],
  choices: number,
  choiceOf: (candidate: number) => number = (candidate) => candidate,
): { share: number; choice: number } {
  if (choices < 2 || groups.length === 0) return { share: 0, choice: 0 };
  const mass = new Array<number>(choices).fill(0);
  for (const { alphas, survivors } of groups)
    probabilities(alphas).forEach((p, index) => {
      const choice = choiceOf(survivors[index] ?? 0);
      mass[choice] = (mass[choice] ?? 0) + p;
    });
  const most = largest(mass);
  return { share: most / (groups.length + 1), choice: mass.indexOf(most) };
}

/** Metrics of how far each dimension is decided, in the order depth, operation, output width, middle width. */
export function dimensionMetrics(space: SearchSpace, architecture: Architecture): DimensionMetrics[] {
  const all = indexGroups({ groups: spaceGroups(space) });
  // Throws NOT_FOUND for a group that the space does not have. Otherwise it would be counted silently.
  for (const { id } of architecture.groups) declared(all, id);
  return [
    Dimension.DIMENSION_DEPTH,
    Dimension.DIMENSION_OPERATION,
    Dimension.DIMENSION_OUTPUT_WIDTH,
    Dimension.DIMENSION_MIDDLE_WIDTH,
  ].map((dimension) => {
    const groups = architecture.groups.filter((entry) => entry.dimension === dimension);
    const declaredGroups = [...all.values()].filter((entry) => entry.dimension === dimension);
    const undecided = groups.filter((entry) => entry.survivors.length > 1);
    const entropies = undecided.map((entry) => entropy(probabilities(entry.alphas)));
    return {
      dimension,
      candidates: candidatesLeft({ groups }),
      groups: groups.length,
      undecidedGroups: undecided.length,
      entropy: mean(entropies),
      normalisedEntropy: mean(
        entropies.map((value, index) => value / Math.log(undecided[index]?.survivors.length ?? NaN)),
      ),
      ssr: mean(groups.map((entry) => ssr(probabilities(entry.alphas)))),
      dominance: dominance(groups, largest(declaredGroups.map(({ candidates }) => candidates.length))).share,
    };
  });
}

function mean(values: number[]): number {
  return values.length === 0 ? 0 : values.reduce((total, value) => total + value, 0) / values.length;
}
