import { conv2d } from "../engine/ops/conv2d";
import { maxPool2x2 } from "../engine/ops/maxPool";
import { relu } from "../engine/ops/relu";
import { resizeBilinear } from "../engine/ops/resize";
import { tf } from "../engine/tf";
import type { GenotypeBlock } from "../proto/lathe/v1/space";
import { widthId } from "../space/groups";
import { middleChannels } from "../space/kinds/kinds";
import { at } from "../space/live";
import { operationName } from "../space/parts";
import { axis, declareFilter, declareNorm, type Axis, type Declaration } from "./declaration";
import { channels, named, normed, type Norm, type Tensors } from "./layers";
import { declareHalf, half } from "./operation";

/**
 * Declares a reduction (ERFNet's downsampler): ReLU(BN(concat(conv 3x3 stride 2, max-pool 2x2))), [N,in,H,W] -> [N,convOut+in,H/2,W/2].
 * The pooled part comes last: if trailing channels of the input are absent, the same number of trailing output channels is absent.
 */
export function declareReduction(declaration: Declaration, part: string, input: Axis, convolution: number): Axis {
  const added = axis(part, convolution);
  const output = [...added, ...input];
  declareFilter(declaration, { part, layer: "conv" }, added, input, [3, 3]);
  declareNorm(declaration, { part, layer: "norm" }, output);
  return output;
}

/** presence [in]: expected presence of each input channel, which masks gamma and beta of the pooled part. Absent: all are present. */
export function reduction(weights: Tensors, name: string, x: tf.Tensor, norm: Norm, presence?: tf.Tensor): tf.Tensor {
  const filter = named(weights, `${name}/conv`);
  const joined = tf.concat([conv2d(x, filter, { stride: 2 }), maxPool2x2(x)], 1);
  const mask = presence && tf.concat([tf.ones([at(filter.shape, 0)]), presence]);
  return relu(normed(weights, `${name}/norm`, joined, norm, mask));
}

/** Declares a decided block: the first channels of the widths of its operation in a supernet. Returns the output axis. */
export function declareBlock(declaration: Declaration, part: string, input: Axis, block: GenotypeBlock): Axis {
  const middle = axis(widthId(part, operationName(block), "middle"), middleChannels(block));
  const output = axis(widthId(part, operationName(block), "output"), block.outputWidth);
  const place = { part, name: part };
  declareHalf(declaration, place, block, 1, middle, input);
  declareNorm(declaration, { part, layer: "norm1" }, middle);
  declareHalf(declaration, place, block, 2, output, middle);
  declareNorm(declaration, { part, layer: "norm2" }, output);
  return axis(part, block.outputWidth);
}

/** A decided block, [N,in,H,W] -> [N,out,H,W]. The residual covers the common channels; further output channels have none. */
export function decidedBlock(
  weights: Tensors,
  name: string,
  entry: GenotypeBlock,
  x: tf.Tensor,
  norm: Norm,
): tf.Tensor {
  const [, inputs, height, width] = x.shape as [number, number, number, number];
  let y: tf.Tensor = entry.scale === 2 ? maxPool2x2(x) : x;
  y = half(weights, name, entry, 1, y);
  y = relu(normed(weights, `${name}/norm1`, y, norm));
  y = half(weights, name, entry, 2, y);
  y = normed(weights, `${name}/norm2`, y, norm);
  if (entry.scale === 2) y = resizeBilinear(y, height, width);
  const outputs = entry.outputWidth;
  if (inputs >= outputs) return relu(tf.add(y, channels(x, 0, outputs)));
  const common = tf.add(channels(y, 0, inputs), x);
  return relu(tf.concat([common, channels(y, inputs, outputs - inputs)], 1));
}
