import type { Architecture, SearchSpace } from "../proto/lathe/v1/space";
import {
  deepest,
  depthId,
  depthOf,
  group,
  indexGroups,
  middleId,
  operationId,
  operations,
  outputId,
  type Operation,
} from "../space/groups";

/** A candidate operation that survives, with the surviving indices of its two width groups. */
export interface LiveOperation {
  /** Index in the block's operation group. */
  index: number;
  operation: Operation;
  output: readonly number[];
  middle: readonly number[];
  /** Channels that are computed: the largest surviving widths. */
  outputWidth: number;
  middleWidth: number;
}

export interface LiveBlock {
  /** "stage1/block2" */
  name: string;
  operations: LiveOperation[];
  /** Channels of the block's input and output: what the block before and its own widest operation compute. */
  inputs: number;
  outputs: number;
}

/** A stage as it is still computed: blocks that a surviving exit reaches, and what survives in them. */
export interface LiveStage {
  /** "stage1" */
  name: string;
  channels: number;
  widths: readonly number[];
  dropout: number;
  /** Surviving candidates of the depth group, and after which block each leaves, ascending. */
  depths: readonly number[];
  exits: readonly number[];
  blocks: LiveBlock[];
  /** Channels that the reduction takes in, that its convolution adds, and that the stage hands on. */
  inputs: number;
  convolution: number;
  outputs: number;
}

/** What of a space is still in the computation, in the order in which it is computed. */
export function liveStages(space: SearchSpace, architecture: Architecture): LiveStage[] {
  const groups = indexGroups(architecture);
  const all = operations(space);
  let inputs = space.stemChannels;
  let declared = space.stemChannels;
  return space.stages.map((stage, position) => {
    const s = position + 1;
    const depths = group(groups, depthId(s)).survivors;
    const widest = (survivors: readonly number[]) => Math.max(...survivors.map((index) => stage.widths[index] ?? 0));
    const convolution = stage.channels - declared;
    let width = convolution + inputs;
    const blocks = Array.from({ length: deepest(space, architecture, s) }, (_, at) => {
      const b = at + 1;
      const survivors = group(groups, operationId(s, b)).survivors;
      const operations = survivors.map((index) => {
        const operation = all[index];
        if (!operation) throw new Error(`operation ${index} of stage${s}/block${b} is not in the space`);
        const output = group(groups, outputId(s, b, operation.name)).survivors;
        const middle = group(groups, middleId(s, b, operation.name)).survivors;
        return { index, operation, output, middle, outputWidth: widest(output), middleWidth: widest(middle) };
      });
      const outputs = Math.max(...operations.map((entry) => entry.outputWidth));
      const block = { name: `stage${s}/block${b}`, operations, inputs: width, outputs };
      width = outputs;
      return block;
    });
    const exits = depths.map((candidate) => depthOf(space, s, candidate));
    const live = {
      name: `stage${s}`,
      channels: stage.channels,
      widths: stage.widths,
      dropout: stage.dropout,
      depths,
      exits,
      blocks,
      inputs,
      convolution,
      outputs: Math.max(...exits.map((exit) => blocks[exit - 1]?.outputs ?? 0)),
    };
    declared = stage.channels;
    inputs = live.outputs;
    return live;
  });
}

/** The operations of a block at one spatial scale, in order: they share an input and are computed side by side. */
export function atScale(block: LiveBlock, scale: number): LiveOperation[] {
  return block.operations.filter(({ operation }) => operation.scale === scale);
}

/** An item that must be there: stages and blocks are walked beside what belongs to them. */
export function at<T>(list: readonly T[], index: number): T {
  const item = list[index];
  if (item === undefined) throw new Error(`index ${index} is outside a list of ${list.length}`);
  return item;
}
