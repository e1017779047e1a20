import type { TileSize } from "../emit";
import { upTo } from "../../signature";

/** Rows and columns of a filter: 3x1, 1x3, 3x3 or 1x1. */
export type Kernel = readonly [rows: 1 | 3, columns: 1 | 3];

/** Rows and columns of a filter of one channel, odd. */
type ChannelKernel = readonly [rows: number, columns: number];

/** One candidate of a mixture: two convolutions, each with a norm, at full (1) or half (2) resolution. */
export interface Branch {
  scale: 1 | 2;
  dilation: number;
  /** Filters of the first and the second convolution. */
  kernels: Readonly<Record<1 | 2, Kernel>>;
  /** Sizes of the filters of the depthwise convolutions before them, where there are any. */
  depthwise?: Readonly<Partial<Record<1 | 2, ChannelKernel>>>;
  /** Output channels of the first and the second convolution, multiples of the tile size. */
  middle: number;
  output: number;
}

/** Sizes of a mixture in blocked layout; channels are multiples of the tile size. */
export interface MixturePlan {
  tile: TileSize;
  batch: number;
  height: number;
  width: number;
  inputs: number;
  outputs: number;
  branches: readonly Branch[];
  epsilon: number;
}

/** Shape of a value at a scale, with the images beside each other, for filters that span rows. */
export function imageShape(plan: MixturePlan, scale: 1 | 2, channels: number): [number, number, number, number] {
  return [1, channels, plan.height / scale, (plan.batch * plan.width) / scale];
}

/** The same with the rows of all images below each other, for filters that span columns. */
export function rowsShape(plan: MixturePlan, scale: 1 | 2, channels: number): [number, number, number, number] {
  return [1, channels, (plan.height / scale) * plan.batch, plan.width / scale];
}

/** The first (layer 1) or second (layer 2) convolution of a branch, with its filter's size and channels. */
export interface Convolution {
  branch: number;
  layer: 1 | 2;
  kernel: Kernel;
  inputs: number;
  outputs: number;
}

/**
 * The convolutions in the order of their filters: those with equal numbers of inputs are neighbours, so that their filters can be split
 * together.
 */
export function convolutions(plan: MixturePlan): Convolution[] {
  const { branches, inputs } = plan;
  return [
    ...branches.map(({ middle, kernels }, branch) => ({
      ...{ branch, layer: 1 as const, kernel: kernels[1] },
      ...{ inputs, outputs: middle },
    })),
    ...branches
      .map(({ middle, output, kernels }, branch) => ({
        ...{ branch, layer: 2 as const, kernel: kernels[2] },
        ...{ inputs: middle, outputs: output },
      }))
      .sort((a, b) => a.inputs - b.inputs),
  ];
}

export const tapsOf = ([rows, columns]: ChannelKernel): number => rows * columns;

/** The depthwise convolution before the first (layer 1) or second (layer 2) convolution of a branch: size of its filter, and channels. */
export interface Depthwise {
  branch: number;
  layer: 1 | 2;
  kernel: ChannelKernel;
  channels: number;
}

/** The depthwise convolutions in the order of their filters: by layer, then by branch. */
export function depthwises({ branches, inputs }: MixturePlan): Depthwise[] {
  return ([1, 2] as const).flatMap((layer) =>
    branches.flatMap(({ depthwise, middle }, branch) => {
      const kernel = depthwise?.[layer];
      return kernel ? [{ branch, layer, kernel, channels: layer === 1 ? inputs : middle }] : [];
    }),
  );
}

/** A square: the tile x tile weights [input][output] of one tap between one tile of input and one of output channels. */
interface Square {
  convolution: number;
  outputTile: number;
  inputTile: number;
  tap: number;
}

/** Squares of all filters in their order: per convolution by output tile, input tile, tap. */
export function squares(plan: MixturePlan): Square[] {
  return convolutions(plan).flatMap(({ inputs, outputs, kernel }, convolution) =>
    upTo(outputs / plan.tile).flatMap((outputTile) =>
      upTo(inputs / plan.tile).flatMap((inputTile) =>
        upTo(tapsOf(kernel)).map((tap) => ({ convolution, outputTile, inputTile, tap })),
      ),
    ),
  );
}

/** The reason why a mixture cannot run in this layout; undefined if it can. ONNX Runtime would violate each precondition silently. */
export function mixtureObstacle(plan: MixturePlan): string | undefined {
  const { tile, batch, height, width, inputs, outputs, branches } = plan;
  const channels = [inputs, outputs, ...branches.flatMap(({ middle, output }) => [middle, output])];
  if (channels.some((size) => size % tile !== 0)) return `channels ${channels.join()} are not multiples of ${tile}`;
  for (const scale of new Set(branches.map((branch) => branch.scale))) {
    if (height % scale !== 0 || width % scale !== 0) return `${height}x${width} has no scale ${scale}`;
    // Rows are cut into squares of tile x tile. A row that ends within a square would give a wrong gradient.
    const row = (batch * width) / scale;
    if (row % tile !== 0) return `rows of ${row} positions at scale ${scale} are not multiples of ${tile}`;
  }
  return undefined;
}
