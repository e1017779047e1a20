import { conv2d } from "../engine/ops/conv2d";
import { maxPool2x2 } from "../engine/ops/maxPool";
import { relu } from "../engine/ops/relu";
import { resizeBilinear } from "../engine/ops/resize";
import { tf } from "../engine/tf";
import type { GenotypeBlock } from "../proto/lathe/v1/space";
import { channels, declareNorm, named, type Declaration, type Norm, type Tensors } from "./layers";

/** Weights of a decided block with `inputs` input channels. */
export function declareBlock(declaration: Declaration, name: string, inputs: number, block: GenotypeBlock): void {
  declaration.weights.push({ name: `${name}/conv1`, shape: [block.middleWidth, inputs, 3, 1] });
  declareNorm(declaration, `${name}/norm1`, [block.middleWidth]);
  declaration.weights.push({ name: `${name}/conv2`, shape: [block.outputWidth, block.middleWidth, 1, 3] });
  declareNorm(declaration, `${name}/norm2`, [block.outputWidth]);
}

/** One decided block, [N,in,H,W] -> [N,out,H,W]: residual on the common channels; a wider output's others stand alone. */
export function decidedBlock(
  weights: Tensors,
  name: string,
  entry: GenotypeBlock,
  x: tf.Tensor,
  norm: Norm,
): tf.Tensor {
  const [, inputs, height, width] = x.shape as [number, number, number, number];
  const d = entry.dilation;
  const affine = (layer: string, y: tf.Tensor) =>
    norm(`${name}/${layer}`, y, named(weights, `${name}/${layer}/gamma`), named(weights, `${name}/${layer}/beta`));
  let y: tf.Tensor = entry.scale === 2 ? maxPool2x2(x) : x;
  y = conv2d(y, named(weights, `${name}/conv1`), { dilation: [d, 1] });
  y = relu(affine("norm1", y) as tf.Tensor4D);
  y = conv2d(y, named(weights, `${name}/conv2`), { dilation: [1, d] });
  y = affine("norm2", y);
  if (entry.scale === 2) y = resizeBilinear(y, height, width);
  const outputs = entry.outputWidth;
  if (inputs >= outputs) return relu(tf.add(y, channels(x, 0, outputs)));
  const common = tf.add(channels(y, 0, inputs), x);
  return relu(tf.concat([common, channels(y, inputs, outputs - inputs)], 1) as tf.Tensor4D);
}
