import type { OperationKind } from "../proto/lathe/v1/space";
import { kindOf } from "./kinds/kinds";

/** Names and channels of a network's parts, the same for a space and for a genotype. Stages and blocks count from 1. */

/** "stage1" */
export function stageName(stage: number): string {
  return `stage${stage}`;
}

/** "stage1/block2" */
export function blockName(stage: number, block: number): string {
  return `${stageName(stage)}/block${block}`;
}

/** "d4s2": a factorized operation of dilation 4 at 1/2 of the block's resolution. Other kinds begin with theirs: "plain-d1s2". */
export function operationName(operation: {
  kind?: OperationKind | undefined;
  dilation: number;
  scale: number;
}): string {
  return `${kindOf(operation).prefix}d${operation.dilation}s${operation.scale}`;
}

/** Input pixels per pixel of a stage (from 1), in each direction. The stem and each reduction halve the resolution. */
export function strideOf(stage: number): number {
  return 2 ** (stage + 1);
}

/** The search head joins the outputs of this stage (from 1) and of those behind it. */
export const FIRST_JOINED = 2;

/** Channels of a reduction. Its output is the convolution's channels, followed by the pooled input's. */
export interface ReductionChannels {
  input: number;
  convolution: number;
  output: number;
}

/**
 * Channels of a reduction declared for `from` -> `to` channels. Its convolution has to - from channels, to which the pooled input is
 * appended. So an input of w <= from channels gives to - from + w.
 */
export function reductionChannels(from: number, to: number, input: number): ReductionChannels {
  return { input, convolution: to - from, output: to - from + input };
}

/** The stem is a reduction of the image. */
export function stemReduction({ stemChannels }: { stemChannels: number }): ReductionChannels {
  return reductionChannels(3, stemChannels, 3);
}

/** The largest of any number of values; -Infinity of none. A spread into Math.max overflows the stack at some 100,000 values. */
export function largest(values: readonly number[]): number {
  return values.reduce((most, value) => Math.max(most, value), Number.NEGATIVE_INFINITY);
}
