import { LatheError } from "../process/errors";
import type { Genotype, SearchSpace } from "../proto/lathe/v1/space";
import type { NetworkFigures as Costs } from "../proto/lathe/v1/result";
import { blockInputs } from "./genotype";
import { searchedHead, type Aggregation, type HeadWidth } from "./head";
import type { Half } from "./kinds/kind";
import { halfMacs, kindOf, middleChannels, operationMacs } from "./kinds/kinds";
import { at, headChannels, type LiveHeadWidth, type LiveStage } from "./live";
import { blockName, FIRST_JOINED, stageName, stemReduction, strideOf, type ReductionChannels } from "./parts";

/** A head as far as its costs depend on it. */
type CountedHead = { kind: "search" } | Pick<Aggregation, "kind" | "pyramidChannels">;

/** Bins per side of the pyramid pooling's adaptive average pools. */
export const PYRAMID_BINS = [1, 2, 3, 6, 9] as const;

/** Parameters and MACs of one part: "stem", "stage1/reduction", "stage1/block1", ..., "head". */
export interface PartCosts extends Costs {
  name: string;
}

/** A convolution without bias whose kernel covers `area` pixels: area * in * out weights, each used once per output pixel. */
function convolution(area: number, input: number, output: number, pixels: number): Costs {
  const params = area * input * output;
  return { params, macs: params * pixels };
}

/** The convolutions of a half of an operation. */
function half(of: Half, input: number, output: number, pixels: number): Costs {
  const { perInput, perPair } = halfMacs(of);
  return sum(convolution(perInput, 1, input, pixels), convolution(perPair, input, output, pixels));
}

/** Gamma and beta of a batch norm. It counts no MACs, as in the paper. */
function norm(channels: number): Costs {
  return { params: 2 * channels, macs: 0 };
}

function sum(...parts: Costs[]): Costs {
  return {
    params: parts.reduce((total, part) => total + part.params, 0),
    macs: parts.reduce((total, part) => total + part.macs, 0),
  };
}

function reduction(channels: ReductionChannels, pixels: number): Costs {
  return sum(convolution(9, channels.input, channels.convolution, pixels), norm(channels.output));
}

/**
 * Parameters and MACs per part of a discrete network, in order of execution. Parameters are filters, biases of classifiers, and gamma and
 * beta of batch norms. MACs are those of convolutions, per image; pooling, batch norm, bias, sums and resizing count none, as in the
 * paper.
 */
export function costsByPart(genotype: Genotype, head: CountedHead): PartCosts[] {
  const inputs = blockInputs(genotype);
  const pixelsAt = (stride: number): number => (genotype.inputHeight / stride) * (genotype.inputWidth / stride);
  const parts: PartCosts[] = [{ name: "stem", ...reduction(inputs.stem, pixelsAt(2)) }];
  genotype.stages.forEach((stage, index) => {
    const channels = inputs.stages[index];
    if (channels === undefined) return;
    const stride = strideOf(index + 1);
    parts.push({ name: `${stageName(index + 1)}/reduction`, ...reduction(channels.reduction, pixelsAt(stride)) });
    stage.blocks.forEach((block, position) => {
      const pixels = pixelsAt(stride * block.scale);
      const { first, second } = kindOf(block);
      const middle = middleChannels(block);
      const costs = sum(
        half(first, channels.blocks[position] ?? 0, middle, pixels),
        norm(middle),
        half(second, middle, block.outputWidth, pixels),
        norm(block.outputWidth),
      );
      parts.push({ name: blockName(index + 1, position + 1), ...costs });
    });
  });
  const outputs = inputs.stages.map(({ output }) => output);
  return [...parts, { name: "head", ...headCosts(genotype, head, outputs, pixelsAt) }];
}

/** The fields that a genotype and a space share, as far as a head depends on them. A width of the head that is absent is full. */
interface Around extends Partial<Pick<Genotype, HeadWidth["field"]>> {
  classes: number;
  stemChannels: number;
  stages: readonly { channels: number }[];
}

/** A head that reads these channels of each stage. */
function headCosts(
  around: Around,
  head: CountedHead,
  outputs: readonly number[],
  pixelsAt: (stride: number) => number,
): Costs {
  if (head.kind === "search") return searchHead(outputs, around.classes, pixelsAt);
  return aggregation(around, head.pyramidChannels, outputs, pixelsAt);
}

/** 1x1 convolutions of the joined stages to the classes, with one bias. outputs: channels of each stage. */
function searchHead(outputs: readonly number[], classes: number, pixelsAt: (stride: number) => number): Costs {
  const joined = outputs.slice(FIRST_JOINED - 1);
  const costs = joined.map((output, i) => convolution(1, output, classes, pixelsAt(strideOf(FIRST_JOINED + i))));
  return sum(...costs, { params: classes, macs: 0 });
}

/** 1x1 convolution to the classes, with bias. */
function classifier(input: number, classes: number, pixels: number): Costs {
  return sum(convolution(1, input, classes, pixels), { params: classes, macs: 0 });
}

/** The aggregation head (docs/method.md#the-network): pyramid pooling on the last stage, the stages before it, and the stem. */
function aggregation(
  { classes, stemChannels, stages, joinedWidth, pyramidWidth, detailWidth }: Around,
  pyramidChannels: number,
  outputs: readonly number[],
  pixelsAt: (stride: number) => number,
): Costs {
  const [first, second] = stages;
  if (first === undefined || second === undefined) {
    const why = `the aggregation head needs at least 2 stages, the genotype has ${stages.length}`;
    throw new LatheError("INVALID_ARGUMENT", why);
  }
  const low = at(outputs, 0) + stemChannels;
  const high = at(outputs, outputs.length - 1);
  const pyramid = pyramidWidth ?? pyramidChannels;
  const branches = PYRAMID_BINS.map((bins) => sum(convolution(1, high, pyramid, bins * bins), norm(pyramid)));
  const [c1, c2] = [detailWidth ?? first.channels, joinedWidth ?? second.channels];
  return sum(
    ...branches,
    convolution(1, high + PYRAMID_BINS.length * pyramid, c2, pixelsAt(strideOf(stages.length))),
    norm(c2),
    ...outputs.slice(1, -1).map((output, i) => sum(convolution(1, output, c2, pixelsAt(strideOf(i + 2))), norm(c2))),
    convolution(9, low, c1, pixelsAt(4)),
    norm(c1),
    convolution(1, c1 + c2, c2, pixelsAt(4)),
    norm(c2),
    classifier(c2, classes, pixelsAt(4)),
  );
}

/** Parameters and MACs of a whole discrete network, counted as in costsByPart. */
export function networkCosts(genotype: Genotype, head: CountedHead): Costs {
  return sum(...costsByPart(genotype, head));
}

/** MACs of the convolutions in a supernet's forward pass, per image and part. Each candidate counts at its computed width. */
export function supernetMacs(
  space: SearchSpace,
  { stages, head }: { stages: readonly LiveStage[]; head: readonly LiveHeadWidth[] },
): { part: string; macs: number }[] {
  const pixels = (stride: number) => (space.inputHeight / stride) * (space.inputWidth / stride);
  const parts = [{ part: "stem", macs: reduction(stemReduction(space), pixels(2)).macs }];
  stages.forEach((stage, position) => {
    const stride = strideOf(position + 1);
    parts.push({ part: `${stage.name}/reduction`, macs: reduction(stage.reduction, pixels(stride)).macs });
    for (const block of stage.blocks) {
      const macs = block.operations.map(
        ({ operation, middleChannels: channels, outputWidth }) =>
          operationMacs(kindOf(operation), block.inputs, channels, outputWidth) * pixels(stride * operation.scale),
      );
      parts.push({ part: block.name, macs: macs.reduce((total, each) => total + each, 0) });
    }
  });
  const outputs = stages.map((stage) => stage.outputs);
  return [
    ...parts,
    { part: "head", macs: headCosts({ ...space, ...headChannels(head) }, searchedHead(space), outputs, pixels).macs },
  ];
}
