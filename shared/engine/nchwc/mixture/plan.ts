import { count, type Block } from "../emit";

/** One candidate of a mixture: two factorised convolutions with norms between, at full (1) or half (2) resolution. */
export interface Branch {
  scale: 1 | 2;
  dilation: number;
  /** Channels behind the first and the second convolution, multiples of the block. */
  middle: number;
  output: number;
}

/** Sizes of a mixture in blocked layout; channels are multiples of the block. */
export interface MixturePlan {
  block: Block;
  batch: number;
  height: number;
  width: number;
  inputs: number;
  outputs: number;
  branches: readonly Branch[];
  epsilon: number;
}

/** Shape of a value at a scale with the images beside each other, for kernels that span rows. */
export function imageShape(plan: MixturePlan, scale: 1 | 2, channels: number): [number, number, number, number] {
  return [1, channels, plan.height / scale, (plan.batch * plan.width) / scale];
}

/** The same with the rows of all images below each other, for kernels that span columns. */
export function rowsShape(plan: MixturePlan, scale: 1 | 2, channels: number): [number, number, number, number] {
  return [1, channels, (plan.height / scale) * plan.batch, plan.width / scale];
}

/** The first (layer 1, along rows) or second (layer 2, along columns) convolution of a branch, with channels. */
export interface Convolution {
  branch: number;
  layer: 1 | 2;
  inputs: number;
  outputs: number;
}

/** The convolutions in the order in which their kernels lie: those of as many inputs beside each other, so that they can be split as kernels. */
export function convolutions(plan: MixturePlan): Convolution[] {
  const { branches, inputs } = plan;
  return [
    ...branches.map(({ middle }, branch) => ({ branch, layer: 1 as const, inputs, outputs: middle })),
    ...branches
      .map(({ middle, output }, branch) => ({ branch, layer: 2 as const, inputs: middle, outputs: output }))
      .sort((a, b) => a.inputs - b.inputs),
  ];
}

/** A tile: the block x block weights [input][output] of one tap between one block of input and one of output channels. */
export interface Tile {
  convolution: number;
  outputBlock: number;
  inputBlock: number;
  tap: number;
}

/** Tiles of all kernels in the order in which they lie: per convolution by output block, input block, tap. */
export function tiles(plan: MixturePlan): Tile[] {
  return convolutions(plan).flatMap(({ inputs, outputs }, convolution) =>
    count(outputs / plan.block).flatMap((outputBlock) =>
      count(inputs / plan.block).flatMap((inputBlock) =>
        count(3).map((tap) => ({ convolution, outputBlock, inputBlock, tap })),
      ),
    ),
  );
}

/** Why a mixture cannot run in this layout; undefined: it can. Each is a precondition that ONNX Runtime would break silently. */
export function obstacle({ block, batch, height, width, inputs, outputs, branches }: MixturePlan): string | undefined {
  const channels = [inputs, outputs, ...branches.flatMap(({ middle, output }) => [middle, output])];
  if (channels.some((size) => size % block !== 0)) return `channels ${channels.join()} are not multiples of ${block}`;
  for (const scale of new Set(branches.map((branch) => branch.scale))) {
    if (height % scale !== 0 || width % scale !== 0) return `${height}x${width} has no scale ${scale}`;
    // Rows are cut into tiles of block x block; a row that ends within one would give a wrong gradient.
    const row = (batch * width) / scale;
    if (row % block !== 0) return `rows of ${row} positions at scale ${scale} are not multiples of ${block}`;
  }
  return undefined;
}
