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
}

export interface LiveBlock {
  /** "stage1/block2" */
  name: string;
  operations: LiveOperation[];
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
}

/** What of a space is still in the computation, in the order in which it is computed. */
export function liveStages(space: SearchSpace, architecture: Architecture): LiveStage[] {
  const groups = indexGroups(architecture);
  const all = operations(space);
  return space.stages.map((stage, position) => {
    const s = position + 1;
    const depths = group(groups, depthId(s)).survivors;
    const blocks = Array.from({ length: deepest(space, architecture, s) }, (_, at) => {
      const b = at + 1;
      const survivors = group(groups, operationId(s, b)).survivors;
      return {
        name: `stage${s}/block${b}`,
        operations: survivors.map((index) => {
          const operation = all[index];
          if (!operation) throw new Error(`operation ${index} of stage${s}/block${b} is not in the space`);
          return {
            index,
            operation,
            output: group(groups, outputId(s, b, operation.name)).survivors,
            middle: group(groups, middleId(s, b, operation.name)).survivors,
          };
        }),
      };
    });
    return {
      name: `stage${s}`,
      channels: stage.channels,
      widths: stage.widths,
      dropout: stage.dropout,
      depths,
      exits: depths.map((candidate) => depthOf(space, s, candidate)),
      blocks,
    };
  });
}

/** The operations of a block at one spatial scale, in order: they share an input and are computed side by side. */
export function atScale(block: LiveBlock, scale: number): LiveOperation[] {
  return block.operations.filter(({ operation }) => operation.scale === scale);
}
