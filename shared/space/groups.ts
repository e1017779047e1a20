import { LatheError } from "../process/errors";
import type { DimensionMetrics } from "../proto/lathe/v1/result";
import { Dimension } from "../proto/lathe/v1/space";
import type { Architecture, Group, SearchSpace, Stage } from "../proto/lathe/v1/space";

/** A candidate operation of a search block: a factorized convolution of this dilation at 1/scale of the block's resolution. */
export interface Operation {
  dilation: number;
  scale: number;
  /** "d4s2" */
  name: string;
}

/** The candidate operations of every block, in the order of the operation group's candidates: scales outer, dilations inner. */
export function operations(space: SearchSpace): Operation[] {
  return space.scales.flatMap((scale) =>
    space.dilations.map((dilation) => ({ dilation, scale, name: `d${dilation}s${scale}` })),
  );
}

/** Group ids; stage and block count from 1. */
export function depthId(stage: number): string {
  return `stage${stage}/depth`;
}

export function operationId(stage: number, block: number): string {
  return `stage${stage}/block${block}/operation`;
}

export function outputId(stage: number, block: number, operation: string): string {
  return `stage${stage}/block${block}/${operation}/output`;
}

export function middleId(stage: number, block: number, operation: string): string {
  return `stage${stage}/block${block}/${operation}/middle`;
}

/** The stage numbered from 1; NOT_FOUND names the number and how many stages there are. */
export function stageOf(space: SearchSpace, stage: number): Stage {
  const found = space.stages[stage - 1];
  if (found === undefined)
    throw new LatheError("NOT_FOUND", `stage ${stage} is not in a space of ${space.stages.length} stages`);
  return found;
}

/**
 * Where every search starts: all groups, all candidates surviving, alphas 0 (p uniform). Order: per stage its depth, then per
 * block its operation, then per operation its output and middle width.
 */
export function initialArchitecture(space: SearchSpace): Architecture {
  const groups: Group[] = [];
  const names = operations(space).map((operation) => operation.name);
  space.stages.forEach((stage, index) => {
    const s = index + 1;
    groups.push(fullGroup(depthId(s), Dimension.DIMENSION_DEPTH, stage.maxDepth - stage.minDepth + 1));
    for (let b = 1; b <= stage.maxDepth; b++) {
      groups.push(fullGroup(operationId(s, b), Dimension.DIMENSION_OPERATION, names.length));
      for (const name of names) {
        groups.push(fullGroup(outputId(s, b, name), Dimension.DIMENSION_OUTPUT_WIDTH, stage.widths.length));
        groups.push(fullGroup(middleId(s, b, name), Dimension.DIMENSION_MIDDLE_WIDTH, stage.widths.length));
      }
    }
  });
  return { groups };
}

function fullGroup(id: string, dimension: Dimension, candidates: number): Group {
  return {
    id,
    dimension,
    alphas: new Array<number>(candidates).fill(0),
    survivors: Array.from({ length: candidates }, (_, index) => index),
  };
}

/** Live groups by id, in the architecture's order. */
export function indexGroups(architecture: Architecture): Map<string, Group> {
  return new Map(architecture.groups.map((entry) => [entry.id, entry]));
}

/** The live group of an id. NOT_FOUND names the id when the group has left the computation or never was. */
export function group(source: ReadonlyMap<string, Group> | Architecture, id: string): Group {
  const found = "groups" in source ? source.groups.find((entry) => entry.id === id) : source.get(id);
  if (found === undefined)
    throw new LatheError("NOT_FOUND", `group "${id}" is not live in this architecture`, { metadata: { group: id } });
  return found;
}

/**
 * p_i = sigmoid(alpha_i) / sum_j sigmoid(alpha_j) over the survivors (docs/method.md#relaxation). Evaluated by logarithms, so that
 * alphas of any finite size give finite p that sum to 1.
 */
export function probabilities(alphas: ArrayLike<number>): number[] {
  const logs = Array.from(alphas, logSigmoid);
  const top = Math.max(...logs);
  const scaled = logs.map((value) => Math.exp(value - top));
  const sum = scaled.reduce((total, value) => total + value, 0);
  return scaled.map((value) => value / sum);
}

function logSigmoid(alpha: number): number {
  return Math.min(alpha, 0) - Math.log1p(Math.exp(-Math.abs(alpha)));
}

/** Blocks of a stage (from 1) that a surviving exit reaches: the deepest surviving depth. */
export function deepest(space: SearchSpace, architecture: Architecture, stage: number): number {
  const survivors = group(architecture, depthId(stage)).survivors;
  return depthOf(space, stage, Math.max(...survivors));
}

/** Number of blocks that a candidate of a stage's depth group stands for. */
export function depthOf(space: SearchSpace, stage: number, candidateIndex: number): number {
  return stageOf(space, stage).minDepth + candidateIndex;
}

/** True when every live group has one survivor. */
export function isConverged(architecture: Architecture): boolean {
  return architecture.groups.every((entry) => entry.survivors.length === 1);
}

/** Candidates left, over all live groups. */
export function candidatesLeft(architecture: Architecture): number {
  return architecture.groups.reduce((total, entry) => total + entry.survivors.length, 0);
}

/** Stage number, from 1, in a group id. */
export function stageNumber(id: string): number {
  const match = /^stage([1-9]\d*)\//.exec(id);
  if (match === null) throw new LatheError("INVALID_ARGUMENT", `group id "${id}" does not start with "stage<number>/"`);
  return Number(match[1]);
}

/** What a candidate stands for, as text: a depth ("3"), an operation ("d4s2"), a width ("48"). */
export function candidateValue(space: SearchSpace, group: Group, candidateIndex: number): string {
  const stage = stageNumber(group.id);
  if (group.dimension === Dimension.DIMENSION_DEPTH) return String(depthOf(space, stage, candidateIndex));
  const value =
    group.dimension === Dimension.DIMENSION_OPERATION
      ? operations(space)[candidateIndex]?.name
      : stageOf(space, stage).widths[candidateIndex];
  if (value === undefined)
    throw new LatheError("NOT_FOUND", `candidate ${candidateIndex} of group "${group.id}" is not in the space`);
  return String(value);
}

/** Entropy of a distribution, in nats; 0 log 0 = 0. */
export function entropy(p: ArrayLike<number>): number {
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

/** Candidates that a group of a stage (from 1) begins with. */
function candidatesOf(space: SearchSpace, dimension: Dimension, stage: number): number {
  if (dimension === Dimension.DIMENSION_OPERATION) return operations(space).length;
  const { minDepth, maxDepth, widths } = stageOf(space, stage);
  return dimension === Dimension.DIMENSION_DEPTH ? maxDepth - minDepth + 1 : widths.length;
}

/**
 * Entropy of a dimension's live groups as a share of what each began with, the mean over those that had a choice: 1 where nothing
 * is preferred, 0 where all is decided. Unlike the normalised entropy it falls with every candidate that leaves.
 */
export function openness(space: SearchSpace, { groups }: Architecture, dimension: Dimension): number {
  return mean(
    groups.flatMap((entry) => {
      const candidates = entry.dimension === dimension ? candidatesOf(space, dimension, stageNumber(entry.id)) : 1;
      return candidates > 1 ? [entropy(probabilities(entry.alphas)) / Math.log(candidates)] : [];
    }),
  );
}

/**
 * The choice out of `choices` with the largest share of the groups' probabilities, one group that agrees with no other added:
 * (sum over groups of p) / (groups + 1). So a few groups that agree, as those of a small network may, are no dominance: five have
 * 0.83, nine have 0.90. Share 0 where there is nothing to choose. `choiceOf` maps a candidate to its choice.
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
  const most = Math.max(...mass);
  return { share: most / (groups.length + 1), choice: mass.indexOf(most) };
}

/** How far each of the four dimensions is decided, in the order depth, operation, output width, middle width. */
export function dimensionMetrics(space: SearchSpace, architecture: Architecture): DimensionMetrics[] {
  // A group of a stage the space does not have would be counted silently.
  for (const entry of architecture.groups) stageOf(space, stageNumber(entry.id));
  return [
    Dimension.DIMENSION_DEPTH,
    Dimension.DIMENSION_OPERATION,
    Dimension.DIMENSION_OUTPUT_WIDTH,
    Dimension.DIMENSION_MIDDLE_WIDTH,
  ].map((dimension) => {
    const groups = architecture.groups.filter((entry) => entry.dimension === dimension);
    const undecided = groups.filter((entry) => entry.survivors.length > 1);
    const entropies = undecided.map((entry) => entropy(probabilities(entry.alphas)));
    return {
      dimension,
      candidates: groups.reduce((total, entry) => total + entry.survivors.length, 0),
      groups: groups.length,
      undecidedGroups: undecided.length,
      entropy: mean(entropies),
      normalisedEntropy: mean(
        entropies.map((value, index) => value / Math.log(undecided[index]?.survivors.length ?? Number.NaN)),
      ),
      ssr: mean(groups.map((entry) => ssr(probabilities(entry.alphas)))),
      dominance: dominance(
        groups,
        Math.max(...space.stages.map((_, index) => candidatesOf(space, dimension, index + 1))),
      ).share,
    };
  });
}

function mean(values: number[]): number {
  return values.length === 0 ? 0 : values.reduce((total, value) => total + value, 0) / values.length;
}
