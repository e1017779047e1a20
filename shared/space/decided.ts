import type { Architecture, Genotype, SearchSpace } from "../proto/lathe/v1/space";
import { spaceGroups } from "./groups";
import { choicesOf, sizes } from "./genotype";

/** A space that holds a network, with the architecture in which every group is decided for it. Each stage of the network must have a block. */
export function decidedSpace(genotype: Genotype): { space: SearchSpace; architecture: Architecture } {
  const blocks = genotype.stages.flatMap((stage) => stage.blocks);
  const space: SearchSpace = {
    ...sizes(genotype),
    stages: genotype.stages.map((stage) => ({
      channels: stage.channels,
      minDepth: stage.blocks.length,
      maxDepth: stage.blocks.length,
      widths: ascending([...stage.blocks.flatMap((block) => [block.middleWidth, block.outputWidth]), stage.channels]),
      dropout: 0,
    })),
    dilations: ascending(blocks.map(({ dilation }) => dilation)),
    scales: ascending(blocks.map(({ scale }) => scale)),
  };
  const chosen = choicesOf(space, genotype);
  const groups = spaceGroups(space).map(({ id, dimension }) => ({
    ...{ id, dimension },
    ...{ alphas: [0], survivors: [chosen.get(id) ?? 0] },
  }));
  return { space, architecture: { groups } };
}

const ascending = (values: readonly number[]): number[] => [...new Set(values)].sort((a, b) => a - b);
