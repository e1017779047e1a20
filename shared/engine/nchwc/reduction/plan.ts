import { wholeTiles, type TileSize } from "../emit";

/**
 * Sizes of a reduction in blocked layout: ReLU(BN(concat(conv 3x3 stride 2, max-pool 2x2))). Channel counts are
 * unpadded; a value holds its channels from the first on, and the rest of its last tile is 0.
 */
export interface ReductionPlan {
  tile: TileSize;
  batch: number;
  /** Size of the input. */
  height: number;
  width: number;
  /** Channels of the input, and channels that the convolution adds in front of them. */
  inputs: number;
  convolution: number;
  epsilon: number;
}

/** Channels of input, convolution and output, rounded up to whole tiles. */
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

/** Shapes of input and output with these channels, images beside each other. */
export function inputShape({ batch, height, width }: ReductionPlan, channels: number): number[] {
  return [1, channels, height, batch * width];
}

export function outputShape({ batch, height, width }: ReductionPlan, channels: number): number[] {
  return [1, channels, height / 2, (batch * width) / 2];
}

/** Shape of the output with the rows of all images below each other, for filters that span columns. */
export function outputRows({ batch, height, width }: ReductionPlan, channels: number): number[] {
  return [1, channels, (height / 2) * batch, width / 2];
}

/** The reason why a reduction cannot run in this layout; undefined if it can. */
export function reductionObstacle({ tile, batch, height, width }: ReductionPlan): string | undefined {
  if (height % 2 !== 0 || width % 2 !== 0) return `${height}x${width} cannot be halved`;
  const row = (batch * width) / 2;
  return row % tile === 0 ? undefined : `rows of ${row} positions are not multiples of ${tile}`;
}
