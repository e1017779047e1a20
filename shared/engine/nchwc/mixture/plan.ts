import type { TileSize } from "../emit";
import { upTo } from "../../signature";

/** One candidate of a mixture: two factorised convolutions with norms between, at full (1) or half (2) resolution. */
export interface Branch {
  scale: 1 | 2;
  dilation: number;
  /** Channels behind the first and the second convolution, multiples of the tile size. */
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

/** A square: the tile x tile weights [input][output] of one tap between one tile of input and one of output channels. */
interface Square {
  convolution: number;
  outputTile: number;
  inputTile: number;
  tap: number;
}

/** Squares of all kernels in the order in which they lie: per convolution by output tile, input tile, tap. */
export function squares(plan: MixturePlan): Square[] {
  return convolutions(plan).flatMap(({ inputs, outputs }, convolution) =>
    upTo(outputs / plan.tile).flatMap((outputTile) =>
      upTo(inputs / plan.tile).flatMap((inputTile) =>
        upTo(3).map((tap) => ({ convolution, outputTile, inputTile, tap })),
      ),
    ),
  );
}

/** Why a mixture cannot run in this layout; undefined: it can. Each is a precondition that ONNX Runtime would break silently. */
export function obstacle({ tile, batch, height, width, inputs, outputs, branches }: MixturePlan): string | undefined {
  const channels = [inputs, outputs, ...branches.flatMap(({ middle, output }) => [middle, output])];
  if (channels.some((size) => size % tile !== 0)) return `channels ${channels.join()} are not multiples of ${tile}`;
  for (const scale of new Set(branches.map((branch) => branch.scale))) {
    if (height % scale !== 0 || width % scale !== 0) return `${height}x${width} has no scale ${scale}`;
    // Rows are cut into squares of tile x tile; a row that ends within one would give a wrong gradient.
    const row = (batch * width) / scale;
    if (row % tile !== 0) return `rows of ${row} positions at scale ${scale} are not multiples of ${tile}`;
  }
  return undefined;
}
