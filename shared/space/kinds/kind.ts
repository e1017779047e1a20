import type { OperationKind } from "../../proto/lathe/v1/space";

/** Rows and columns of the filter of a depthwise convolution, odd. */
type ChannelKernel = readonly [rows: number, columns: number];

/** Rows and columns of a dense filter: the blocked layout has 3x1, 1x3, 3x3 and 1x1. */
type Kernel = readonly [rows: 1 | 3, columns: 1 | 3];

/** A half of an operation: a convolution, after a depthwise convolution of its input if the half has one. */
export interface Half {
  depthwise?: ChannelKernel;
  dense: Kernel;
}

/**
 * A kind of candidate operation: f(x) = BN(second(ReLU(BN(first(x))))), where `first` leads from the input to the middle channels, and `second`
 * from these to the output channels.
 */
export interface Kind {
  kind: OperationKind;
  /** The names of its operations begin with it: "plain-" in "plain-d1s2". */
  prefix: string;
  /** Whether it is a candidate at each dilation of the space, or at 1 alone. A dilation spreads each filter along its axes longer than 1. */
  dilated: boolean;
  /** Channels of the middle per channel of the middle width, a whole number. Above 1, a middle can have more channels than its stage. */
  expansion: number;
  first: Half;
  second: Half;
}
