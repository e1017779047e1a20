import { isDeepStrictEqual } from "node:util";
import { LatheError, type FieldViolation } from "../process/errors";
import {
  HeadWidths,
  type Architecture,
  type Genotype,
  type GenotypeBlock,
  type Group,
  type SearchSpace,
} from "../proto/lathe/v1/space";
import {
  depthId,
  isConverged,
  operationFields,
  operationId,
  operations,
  stageOf,
  widthId,
  type Operation,
} from "./groups";
import { factorized } from "./kinds/factorized";
import { KINDS, kindName, kindNames, kindOf, middleChannels, operationMacs } from "./kinds/kinds";
import { HEAD_WIDTHS, headWidth, searchedWidths, withHeadWidths, type HeadWidth } from "./head";
import { at, liveHead, liveStages } from "./live";
import { blockName, operationName, reductionChannels, stemReduction, type ReductionChannels } from "./parts";
import {
  MAX_CHANNELS,
  MAX_DEPTH,
  MAX_DILATION,
  MAX_PYRAMID_CHANNELS,
  MAX_SIDE,
  checkStages,
  collector,
  inputFactor,
  refuse,
} from "./validate";

/** Candidate index of a group's most likely survivor; the lowest index among equals. */
export function argmax(group: Group): number {
  let best = 0;
  group.alphas.forEach((alpha, index) => {
    // p rises with alpha, so the largest alpha is the largest p.
    if (alpha > (group.alphas[best] ?? Number.NEGATIVE_INFINITY)) best = index;
  });
  const candidate = group.survivors[best];
  if (candidate === undefined) throw new LatheError("INVALID_ARGUMENT", `group "${group.id}" has no survivor left`);
  return candidate;
}

/** Derives the discrete network of an architecture: argmax over the survivors of every group, ties to the lowest index. */
export function derive(space: SearchSpace, architecture: Architecture): { genotype: Genotype; converged: boolean } {
  const stages = liveStages(space, architecture).map(({ channels, widths, depth, exits, blocks }) => ({
    channels,
    blocks: blocks.slice(0, chosen(depth, exits)).map(({ choice, operations }): GenotypeBlock => {
      const { operation, middle, output } = chosen(choice, operations);
      const [middleWidth, outputWidth] = [at(widths, argmax(middle)), at(widths, argmax(output))];
      return { ...operationFields(operation), middleWidth, outputWidth };
    }),
  }));
  const head = new Map(liveHead(space, architecture).map(({ width, group, widths }) => [width, chosen(group, widths)]));
  const genotype = withHeadWidths({ ...sizes(space), stages }, (width) => head.get(width) ?? width.full(space));
  return { genotype, converged: isConverged(architecture) };
}

/** The entry of a group's most likely survivor in a list with one entry per survivor. */
function chosen<T>(group: Group, bySurvivor: readonly T[]): T {
  return at(bySurvivor, group.survivors.indexOf(argmax(group)));
}

/** The fields that a space and its networks share. A network with the search head leaves out the channels of a pyramid. */
export function sizes(of: SearchSpace | Genotype): Omit<Genotype, "stages" | HeadWidth["field"]> {
  const { inputHeight, inputWidth, classes, stemChannels, pyramidChannels } = of;
  return { inputHeight, inputWidth, classes, stemChannels, ...(pyramidChannels && { pyramidChannels }) };
}

/** The network with the most MACs: largest depths, full widths, and the first operation of the kind with the most MACs. */
export function largestGenotype(space: SearchSpace): Genotype {
  return {
    ...sizes(space),
    stages: space.stages.map(({ channels, maxDepth }) => {
      const block = { ...operationFields(heaviest(space, channels)), middleWidth: channels, outputWidth: channels };
      return { channels, blocks: Array.from({ length: maxDepth }, () => ({ ...block })) };
    }),
  };
}

/** The candidate with the most MACs at full width; the first of several. */
function heaviest(space: SearchSpace, channels: number): Operation {
  const macs = (operation: Operation) =>
    operationMacs(kindOf(operation), channels, middleChannels({ ...operation, middleWidth: channels }), channels) /
    operation.scale ** 2;
  return operations(space).reduce((most, other) => (macs(other) > macs(most) ? other : most));
}

/** The network of stem, reductions and head without blocks: the output of a stage is that of its reduction, which has the stage's full width. */
export function withoutBlocks(space: SearchSpace): Genotype {
  return { ...sizes(space), stages: space.stages.map(({ channels }) => ({ channels, blocks: [] })) };
}

/** Input channels of each part of a discrete network. */
interface InputChannels {
  stem: ReductionChannels;
  /** output: channels of the stage, which the next reduction and the heads read. */
  stages: { reduction: ReductionChannels; blocks: number[]; output: number }[];
}

/** Input channels of every part. A reduction reads the output of the stage before, a block that of the block before. */
export function blockInputs(genotype: Genotype): InputChannels {
  const stem = stemReduction(genotype);
  let declared = genotype.stemChannels;
  let present = stem.output;
  const stages = genotype.stages.map((stage) => {
    const reduction = reductionChannels(declared, stage.channels, present);
    present = reduction.output;
    const blocks = stage.blocks.map((block) => {
      const input = present;
      present = block.outputWidth;
      return input;
    });
    declared = stage.channels;
    return { reduction, blocks, output: present };
  });
  return { stem, stages };
}

/** Every fault of a genotype. Proto paths begin with the prefix ("algorithm.genotype." in a spec). */
export function genotypeViolations(genotype: Genotype, prefix = ""): FieldViolation[] {
  const { violations, fault, between } = collector(prefix);
  between("classes", genotype.classes, 1, 254);
  between("stem_channels", genotype.stemChannels, 4, MAX_CHANNELS, " (3 channels are pooled)");
  between("pyramid_channels", genotype.pyramidChannels ?? 0, 0, MAX_PYRAMID_CHANNELS);
  checkStages(genotype.stages, fault);
  checkHeadWidths(genotype, { fault, between });
  let declared = genotype.stemChannels;
  let factor = inputFactor({ stages: genotype.stages, scales: [1] });
  genotype.stages.forEach((stage, index) => {
    const at = `stages[${index}]`;
    if (!Number.isInteger(stage.channels) || stage.channels <= declared || stage.channels > MAX_CHANNELS)
      fault(`${at}.channels`, `is ${stage.channels}, must be above ${declared} and at most ${MAX_CHANNELS}`);
    if (stage.blocks.length === 0 || stage.blocks.length > MAX_DEPTH)
      fault(`${at}.blocks`, `has ${stage.blocks.length} entries, must have between 1 and ${MAX_DEPTH}`);
    stage.blocks.forEach((block, position) => {
      between(`${at}.blocks[${position}].dilation`, block.dilation, 1, MAX_DILATION);
      between(`${at}.blocks[${position}].middle_width`, block.middleWidth, 1, stage.channels);
      between(`${at}.blocks[${position}].output_width`, block.outputWidth, 1, stage.channels);
      if (block.kind !== undefined && !KINDS.some(({ kind }) => kind === block.kind))
        fault(`${at}.blocks[${position}].kind`, `is ${block.kind}, must be one of ${kindNames()}`);
      else if (!kindOf(block).dilated && block.dilation !== 1)
        fault(
          `${at}.blocks[${position}].dilation`,
          `is ${block.dilation}, must be 1 for an operation of kind ${kindName(kindOf(block))}`,
        );
      if (block.scale !== 1 && block.scale !== 2)
        fault(`${at}.blocks[${position}].scale`, `is ${block.scale}, must be 1 or 2`);
      // A block at scale 2 halves the resolution of its stage once more.
      else factor = Math.max(factor, 2 ** (index + 2) * block.scale);
    });
    declared = stage.channels;
  });
  for (const [field, value] of [
    ["input_height", genotype.inputHeight],
    ["input_width", genotype.inputWidth],
  ] as const)
    if (!Number.isInteger(value) || value < factor || value % factor !== 0 || value > MAX_SIDE)
      fault(field, `is ${value}, must be a positive multiple of ${factor}, at most ${MAX_SIDE}`);
  return violations;
}

/** Faults widths of a head that has none, or that are above those of the network. */
function checkHeadWidths(
  genotype: Genotype,
  { fault, between }: Pick<ReturnType<typeof collector>, "fault" | "between">,
): void {
  for (const { field, name, least, full } of HEAD_WIDTHS) {
    const width = genotype[field];
    if (width === undefined) continue;
    if ((genotype.pyramidChannels ?? 0) === 0)
      fault(name, `is ${width}, but the search head has no such width: set pyramid_channels, or leave it out`);
    else between(name, width, least, full(genotype), " (the full width)");
  }
}

/** Throws INVALID_ARGUMENT (INVALID_GENOTYPE) with every fault of a genotype. */
export function validateGenotype(genotype: Genotype): void {
  refuse("INVALID_GENOTYPE", "genotype", genotypeViolations(genotype));
}

/**
 * The smallest space that contains a (valid) genotype: its depths, and per stage the full width and the widths in use. It has every field, because
 * a spec overrides only those that its defaults have.
 */
export function spaceOf(
  genotype: Genotype,
): SearchSpace & { pyramidChannels: number; headWidths: HeadWidths | undefined } {
  const { stages } = genotype;
  const blocks = stages.flatMap((stage) => stage.blocks);
  return {
    ...sizes(genotype),
    pyramidChannels: genotype.pyramidChannels ?? 0,
    headWidths: headWidthsOf(genotype),
    stages: stages.map((stage) => ({
      channels: stage.channels,
      minDepth: stage.blocks.length,
      maxDepth: stage.blocks.length,
      widths: ascending([...stage.blocks.flatMap((b) => [b.middleWidth, b.outputWidth]), stage.channels]),
      dropout: 0,
    })),
    dilations: ascending(blocks.map(({ dilation }) => dilation)),
    scales: blocks.some(({ scale }) => scale === 2) ? [1, 2] : [1],
    kinds: KINDS.filter(({ kind }) => blocks.some((block) => kindOf(block).kind === kind)).map(({ kind }) => kind),
  };
}

/** Candidates for the widths of a network's head: its own and the full width, where they differ. */
function headWidthsOf(genotype: Genotype): HeadWidths | undefined {
  const lists = HEAD_WIDTHS.map(({ list, field, full }) => {
    const width = genotype[field];
    return [list, width === undefined ? [] : ascending([width, full(genotype)])] as const;
  });
  if (lists.every(([, widths]) => widths.length === 0)) return undefined;
  return HeadWidths.fromPartial(Object.fromEntries(lists));
}

function ascending(values: number[]): number[] {
  return [...new Set(values)].sort((a, b) => a - b);
}

/** Whether a space contains a genotype. One may have the search head, and the other that of retraining, but not two pyramids. */
export function isMember(space: SearchSpace, genotype: Genotype): boolean {
  const names = new Set(operations(space).map(({ name }) => name));
  return (
    isDeepStrictEqual({ ...sizes(genotype), pyramidChannels: 0 }, { ...sizes(space), pyramidChannels: 0 }) &&
    (!space.pyramidChannels || !genotype.pyramidChannels || space.pyramidChannels === genotype.pyramidChannels) &&
    hasHeadWidths(space, genotype) &&
    genotype.stages.length === space.stages.length &&
    genotype.stages.every(({ channels, blocks }, index) => {
      const stage = stageOf(space, index + 1);
      return (
        channels === stage.channels &&
        blocks.length >= stage.minDepth &&
        blocks.length <= stage.maxDepth &&
        blocks.every(
          (block) =>
            names.has(operationName(block)) &&
            stage.widths.includes(block.middleWidth) &&
            stage.widths.includes(block.outputWidth),
        )
      );
    })
  );
}

function hasHeadWidths(space: SearchSpace, genotype: Genotype): boolean {
  const searched = genotype.pyramidChannels ? searchedWidths(space) : [];
  return HEAD_WIDTHS.every((each) =>
    searched.includes(each)
      ? each.candidates(space).includes(headWidth(each, genotype))
      : genotype[each.field] === undefined,
  );
}

/** Candidate indices that a genotype of the space chooses, by group id. Groups of unused candidates are left out. */
export function choicesOf(space: SearchSpace, genotype: Genotype): Map<string, number> {
  const { stages } = genotype;
  const chosen = new Map<string, number>();
  for (const each of searchedWidths(space))
    chosen.set(each.id, each.candidates(space).indexOf(headWidth(each, genotype, space)));
  const names = operations(space).map(({ name }) => name);
  stages.forEach(({ blocks }, index) => {
    const s = index + 1;
    const { minDepth, widths } = stageOf(space, s);
    chosen.set(depthId(s), blocks.length - minDepth);
    blocks.forEach((block, position) => {
      const b = position + 1;
      const name = operationName(block);
      chosen.set(operationId(s, b), names.indexOf(name));
      chosen.set(widthId(blockName(s, b), name, "output"), widths.indexOf(block.outputWidth));
      chosen.set(widthId(blockName(s, b), name, "middle"), widths.indexOf(block.middleWidth));
    });
  });
  return chosen;
}

/**
 * Prints a genotype as a text table: one line per block, then the widths of the head that are not full. The kinds have a column if not all
 * blocks are factorized.
 */
export function print(genotype: Genotype): string {
  const inputs = blockInputs(genotype);
  const kinds = genotype.stages.some(({ blocks }) => blocks.some((block) => kindOf(block) !== factorized));
  const head = ["stage", "block", ...(kinds ? ["kind"] : []), "dilation", "scale", "input", "middle", "output"];
  const rows = genotype.stages.flatMap((stage, s) =>
    stage.blocks.map((block, b) =>
      [
        ...[s + 1, b + 1, ...(kinds ? [kindName(kindOf(block))] : []), block.dilation, block.scale],
        ...[inputs.stages[s]?.blocks[b] ?? "", block.middleWidth, block.outputWidth],
      ].map(String),
    ),
  );
  const widths = head.map((cell, column) => Math.max(...[head, ...rows].map((row) => row[column]?.length ?? 0)));
  const lines = [head, ...rows].map((row) => row.map((cell, column) => cell.padStart(widths[column] ?? 0)).join("  "));
  return [...lines, ...headLines(genotype)].join("\n");
}

/** "head: joined width 32, pyramid width 0"; nothing where both are full. */
export function headLines(genotype: Genotype): string[] {
  const widths = widthTexts(genotype, HEAD_WIDTHS);
  return widths.length > 0 ? [`head: ${widths.join(", ")}`] : [];
}

/** "joined width 32" for each of these widths of the head that is not full. */
export const widthTexts = (genotype: Partial<Genotype>, widths: readonly HeadWidth[]): string[] =>
  widths.flatMap(({ field, name }) => {
    const width = genotype[field];
    return width === undefined ? [] : [`${name.replace("_", " ")} ${width}`];
  });
