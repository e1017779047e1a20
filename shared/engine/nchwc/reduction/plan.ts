import { wholeTiles, type TileSize } from "../emit";

/**
 * Sizes of a reduction in blocked layout: ReLU(BN(concat(conv 3x3 stride 2, max-pool 2x2))). Channels are counted as they are; a value
 * holds them side by side from its first on, and the rest of its last tile is 0.
 */
export interface ReductionPlan {
  tile: TileSize;
  batch: number;
  /** Of the input. */
  height: number;
  width: number;
  /** Channels that the input has, and that the convolution adds in front of them. */
  inputs: number;
  convolution: number;
  epsilon: number;
}

/** Channels in whole tiles: of the input, of the convolution, and of the output. */
export function filledUp({ tile, inputs, convolution }: ReductionPlan): {
  input: number;
  added: number;
  output: number;
} {
  const whole = (channels: number) => wholeTiles(channels, tile);
  return { input: whole(inputs), added: whole(convolution), output: whole(convolution + inputs) };
}

/** 1 for each of the first `count` channels of the output that the convolution adds, 0 for the others. */
export function addedChannels({ convolution }: ReductionPlan, count: number): Float32Array {
  return new Float32Array(count).fill(1, 0, convolution);
}

/** Shapes of the input and of the output, images beside each other, with these channels. */
export function inputShape({ batch, height, width }: ReductionPlan, channels: number): number[] {
  return [1, channels, height, batch * width];
}

export function outputShape({ batch, height, width }: ReductionPlan, channels: number): number[] {
  return [1, channels, height / 2, (batch * width) / 2];
}

/** The output with the rows of all images below each other, for kernels that span columns. */
export function outputRows({ batch, height, width }: ReductionPlan, channels: number): number[] {
  return [1, channels, (height / 2) * batch, width / 2];
}

/** Why a reduction cannot run in this layout; undefined: it can. */
export function reductionObstacle({ tile, batch, height, width }: ReductionPlan): string | undefined {
  if (height % 2 !== 0 || width % 2 !== 0) return `${height}x${width} cannot be halved`;
  const row = (batch * width) / 2;
  return row % tile === 0 ? undefined : `rows of ${row} positions are not multiples of ${tile}`;
}
