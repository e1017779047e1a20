import type { OperationKind } from "../../proto/lathe/v1/space";

/** Rows and columns of a filter, odd. */
type Kernel = readonly [rows: number, columns: number];

/** A half of an operation: a convolution, after a depthwise convolution of its input if the half has one. */
export interface Half {
  depthwise?: Kernel;
  dense: Kernel;
}

/**
 * A kind of candidate operation: f(x) = BN(second(ReLU(BN(first(x))))), where `first` leads from the input to the middle channels, and `second`
 * from these to the output channels.
 */
export interface Kind {
  kind: OperationKind;
  /** What the names of its operations begin with: "plain-" in "plain-d1s2". */
  prefix: string;
  /** Whether it is a candidate at each dilation of the space, or at 1 alone. A dilation spreads each filter along its axes longer than 1. */
  dilated: boolean;
  first: Half;
  second: Half;
}
