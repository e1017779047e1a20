import { LatheError } from "../process/errors";
import type { Architecture, Genotype, Group, SearchSpace } from "../proto/lathe/v1/space";
import { group, headGroups, hierarchy, indexGroups, operations, type Operation, type SpaceGroup } from "./groups";
import { searchedWidths, type HeadWidth } from "./head";
import { middleChannels } from "./kinds/kinds";
import { blockName, largest, reductionChannels, stageName, type ReductionChannels } from "./parts";

/** A surviving candidate operation, with its two width groups. */
export interface LiveOperation {
  /** Index in the block's operation group. */
  index: number;
  operation: Operation;
  output: Group;
  middle: Group;
  /** Computed channels: the largest surviving widths, that of the middle times the expansion of the kind. */
  outputWidth: number;
  middleChannels: number;
}

export interface LiveBlock {
  /** "stage1/block2" */
  name: string;
  /** The operation group. `operations` are its survivors in order. */
  choice: Group;
  operations: LiveOperation[];
  /** Input channels (those that the block before computes) and output channels (those of the widest operation). */
  inputs: number;
  outputs: number;
}

/** The live part of a stage: the blocks up to the last surviving exit, with their surviving candidates. */
export interface LiveStage {
  /** "stage1" */
  name: string;
  channels: number;
  widths: readonly number[];
  dropout: number;
  /** The depth group. `exits` holds, ascending, the number of the block after which each survivor exits. */
  depth: Group;
  exits: readonly number[];
  reduction: ReductionChannels;
  blocks: LiveBlock[];
  /** Output channels of the stage. */
  outputs: number;
}

/**
 * The live part of a space, in order of execution. NOT_FOUND if the architecture lacks a live group; INVALID_ARGUMENT if a group holds a
 * candidate that the space does not have.
 */
export function liveStages(space: SearchSpace, architecture: Architecture): LiveStage[] {
  const live = groupFinder(architecture);
  const candidates = operations(space);
  let declared = space.stemChannels;
  let inputs = space.stemChannels;
  return hierarchy(space, (entry) => live(entry).survivors).map((stageGroups, position): LiveStage => {
    const { channels, minDepth, widths, dropout } = at(space.stages, position);
    const widest = ({ survivors }: Group) => largest(survivors.map((index) => widths[index] ?? 0));
    const reduction = reductionChannels(declared, channels, inputs);
    let width = reduction.output;
    const blocks = stageGroups.blocks.map((block, b): LiveBlock => {
      const operations = block.widths.map((entry) => {
        const [output, middle] = [live(entry.output), live(entry.middle)];
        const operation = at(candidates, entry.index);
        return {
          ...{ index: entry.index, operation, output, middle },
          outputWidth: widest(output),
          middleChannels: middleChannels({ ...operation, middleWidth: widest(middle) }),
        };
      });
      const name = blockName(position + 1, b + 1);
      const outputs = largest(operations.map(({ outputWidth }) => outputWidth));
      const found = { name, choice: live(block.operation), operations, inputs: width, outputs };
      width = outputs;
      return found;
    });
    const depth = live(stageGroups.depth);
    const exits = depth.survivors.map((candidate) => minDepth + candidate);
    declared = channels;
    inputs = largest(exits.map((exit) => at(blocks, exit - 1).outputs));
    const name = stageName(position + 1);
    return { name, channels, widths, dropout, depth, exits, reduction, blocks, outputs: inputs };
  });
}

/** A searched width of the head, with its survivors. */
export interface LiveHeadWidth {
  width: HeadWidth;
  group: Group;
  /** The surviving widths, ascending. */
  widths: readonly number[];
  /** Computed channels: the largest of them. */
  channels: number;
}

/** The searched widths of a space's head. Errors as liveStages. */
export function liveHead(space: SearchSpace, architecture: Architecture): LiveHeadWidth[] {
  const live = groupFinder(architecture);
  const groups = headGroups(space).map(live);
  return searchedWidths(space).map((width, index) => {
    const found = at(groups, index);
    const widths = found.survivors.map((survivor) => at(width.candidates(space), survivor));
    return { width, group: found, widths, channels: largest(widths) };
  });
}

/** The computed channels of a supernet's head, as the fields of a genotype. */
export function headChannels(head: readonly LiveHeadWidth[]): Pick<Genotype, HeadWidth["field"]> {
  return Object.fromEntries(head.map(({ width, channels }) => [width.field, channels]));
}

/** Returns a function that finds a group and checks its survivors. */
function groupFinder(architecture: Architecture): (group: SpaceGroup) => Group {
  const groups = indexGroups(architecture);
  return ({ id, candidates }) => {
    const found = group(groups, id);
    const unknown = found.survivors.find((survivor) => candidates[survivor] === undefined);
    if (unknown !== undefined)
      throw new LatheError("INVALID_ARGUMENT", `group "${id}" holds candidate ${unknown} of ${candidates.length}`);
    return found;
  };
}

/** The item at an index. Throws if the list has no such item. */
export function at<T>(list: readonly T[], index: number): T {
  const item = list[index];
  if (item === undefined) throw new Error(`index ${index} is outside a list of ${list.length}`);
  return item;
}
