import type { Genotype, GenotypeBlock, SearchSpace } from "../../../shared/proto/lathe/v1/space";
import { operations, stageOf, withOperation } from "../../../shared/space/groups";
import { HEAD_WIDTHS, headWidth, searchedWidths, withHeadWidths, type HeadWidth } from "../../../shared/space/head";
import { blockName, operationName, stageName } from "../../../shared/space/parts";

/** A change of one decision of a genotype. */
export interface Change {
  /** "stage1/block2/middle"; of two changes of one decision only one can be made. */
  decision: string;
  /** The changed genotype; undefined where the genotype has no such block any more. */
  apply: (genotype: Genotype) => Genotype | undefined;
}

/** Every change of one decision of a genotype to another candidate of the space. A deeper stage repeats its last block. */
export function changesOf(space: SearchSpace, genotype: Genotype): Change[] {
  const inStages = genotype.stages.flatMap(({ blocks }, index) => {
    const stage = index + 1;
    const { minDepth, maxDepth, widths } = stageOf(space, stage);
    const depths = range(minDepth, maxDepth).filter((depth) => depth !== blocks.length);
    return [
      ...depths.map((depth) => depthChange(index, depth)),
      ...blocks.flatMap((block, position) => {
        const decide = (what: string, change: (block: GenotypeBlock) => GenotypeBlock): Change => ({
          decision: `${blockName(stage, position + 1)}/${what}`,
          apply: (of) => withBlock(of, index, position, change),
        });
        const other = (width: number) => widths.filter((one) => one !== width);
        const { middleWidth, outputWidth } = block;
        const name = operationName(block);
        return [
          ...other(middleWidth).map((to) => decide("middle", (one) => ({ ...one, middleWidth: to }))),
          ...other(outputWidth).map((to) => decide("output", (one) => ({ ...one, outputWidth: to }))),
          ...operations(space)
            .filter((operation) => operation.name !== name)
            .map((operation) => decide("operation", (one) => withOperation(one, operation))),
        ];
      }),
    ];
  });
  const ofHead = searchedWidths(space).flatMap((width) => {
    const others = width.candidates(space).filter((to) => to !== headWidth(width, genotype));
    return others.map((to) => headChange(width, to));
  });
  return [...inStages, ...ofHead];
}

const headChange = (width: HeadWidth, to: number): Change => ({
  decision: width.id,
  apply: (of) => withHeadWidths(of, (each) => (each === width ? to : headWidth(each, of))),
});

function depthChange(index: number, to: number): Change {
  return {
    decision: `${stageName(index + 1)}/depth`,
    apply: (genotype) => {
      const stages = genotype.stages.map((stage, at) => {
        const last = stage.blocks.at(-1);
        if (at !== index || !last) return stage;
        const added = Array.from({ length: Math.max(0, to - stage.blocks.length) }, () => ({ ...last }));
        return { ...stage, blocks: [...stage.blocks.slice(0, to), ...added] };
      });
      return { ...genotype, stages };
    },
  };
}

function withBlock(
  genotype: Genotype,
  index: number,
  position: number,
  change: (block: GenotypeBlock) => GenotypeBlock,
): Genotype | undefined {
  const stage = genotype.stages[index];
  const block = stage?.blocks[position];
  if (!stage || !block) return undefined;
  const blocks = stage.blocks.map((one, at) => (at === position ? change(one) : one));
  return { ...genotype, stages: genotype.stages.map((one, at) => (at === index ? { ...one, blocks } : one)) };
}

const range = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, at) => from + at);

/** Describes how one genotype differs from another of the same space, as changes of single decisions. */
export function differencesOf(from: Genotype, to: Genotype): string[] {
  const inStages = from.stages.flatMap(({ blocks }, index) => {
    const stage = index + 1;
    const others = to.stages[index]?.blocks ?? [];
    const depth =
      blocks.length === others.length ? [] : [`${stageName(stage)}/depth ${blocks.length} -> ${others.length}`];
    const inBlocks = others.flatMap((other, position) => {
      const block = blocks[position];
      if (!block) return [];
      const pairs = [
        ["operation", operationName(block), operationName(other)],
        ["middle", block.middleWidth, other.middleWidth],
        ["output", block.outputWidth, other.outputWidth],
      ] as const;
      return pairs
        .filter(([, a, b]) => a !== b)
        .map(([what, a, b]) => `${blockName(stage, position + 1)}/${what} ${a} -> ${b}`);
    });
    return [...depth, ...inBlocks];
  });
  const inHead = HEAD_WIDTHS.flatMap((width) => {
    const [a, b] = [headWidth(width, from), headWidth(width, to)];
    return a === b ? [] : [`${width.id} ${a} -> ${b}`];
  });
  return [...inStages, ...inHead];
}
