import { LatheError } from "../../process/errors";
import { tf } from "../tf";

export type Shape4 = readonly [number, number, number, number];

export interface Convolution {
  stride: 1 | 2;
  /** Along height and width. */
  dilation: readonly [number, number];
}

export interface ConvolutionShape {
  batch: number;
  inChannels: number;
  outChannels: number;
  height: number;
  width: number;
  outHeight: number;
  outWidth: number;
  kernelSize: readonly [number, number];
  /** On each side, along height and width. */
  padding: readonly [number, number];
}

/** Sizes of a symmetrically padded convolution; throws INVALID_ARGUMENT if filter, channels or rank do not match. */
export function convolutionShape(
  x: readonly number[],
  w: readonly number[],
  { stride, dilation }: Convolution,
): ConvolutionShape {
  const refuse = (why: string): never => {
    throw new LatheError("INVALID_ARGUMENT", `conv2d of [${x.join(",")}] with filter [${w.join(",")}]: ${why}`);
  };
  if (x.length !== 4 || w.length !== 4) refuse("input must be [N,Ci,H,W] and filter [Co,Ci,kh,kw]");
  const [batch, inChannels, height, width] = x as Shape4;
  const [outChannels, filterChannels, kh, kw] = w as Shape4;
  if (inChannels !== filterChannels) refuse(`the input has ${inChannels} channels, the filter has ${filterChannels}`);
  if (kh % 2 === 0 || kw % 2 === 0) refuse("kernel sizes must be odd");
  return {
    batch,
    inChannels,
    outChannels,
    height,
    width,
    outHeight: Math.ceil(height / stride),
    outWidth: Math.ceil(width / stride),
    kernelSize: [kh, kw],
    padding: paddingOf([kh, kw], dilation),
  };
}

type Pair = readonly [number, number];

/** The padding on each side by which a filter of odd sizes keeps the size of its input at stride 1, along height and width. */
export const paddingOf = ([kh, kw]: Pair, dilation: Pair): Pair => [
  ((kh - 1) / 2) * dilation[0],
  ((kw - 1) / 2) * dilation[1],
];

/** One value per tap of a filter, row by row, from the tap's offset in the padded input. */
export function forTaps<T>([kh, kw]: Pair, dilation: Pair, body: (top: number, left: number) => T): T[] {
  return Array.from({ length: kh * kw }, (_, tap) =>
    body(Math.floor(tap / kw) * dilation[0], (tap % kw) * dilation[1]),
  );
}

/** x [N,C,H,W] with rows of zeros above and below and columns of zeros on each side, for eager backends. */
export function padded(x: tf.Tensor, [rows, columns]: readonly [number, number]): tf.Tensor4D {
  const none: [number, number] = [0, 0];
  return tf.pad(x as tf.Tensor4D, [none, none, [rows, rows], [columns, columns]]);
}
