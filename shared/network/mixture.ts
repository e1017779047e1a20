import { conv2d } from "../engine/ops/conv2d";
import { maxPool2x2 } from "../engine/ops/maxPool";
import { relu } from "../engine/ops/relu";
import { resizeBilinear } from "../engine/ops/resize";
import { tf } from "../engine/tf";
import type { LiveBlock, LiveOperation } from "../space/live";
import { axis, declareFilter, declareNorm, type Axis, type Declaration } from "./declaration";
import type { BlockFactors } from "./factors";
import { channels, named, normed, padChannels, perChannel, type Norm, type Tensors } from "./layers";

/** Spatial scales of a block's surviving operations. */
export function scalesOf(block: LiveBlock): number[] {
  return [...new Set(block.operations.map(({ operation }) => operation.scale))];
}

/** A block's operations at one spatial scale, in order. They share their input, and their channels are concatenated. */
export function atScale(block: LiveBlock, scale: number): LiveOperation[] {
  return block.operations.filter(({ operation }) => operation.scale === scale);
}

const total = (widths: readonly number[]) => widths.reduce((sum, width) => sum + width, 0);

/**
 * Declares a search block at its surviving widths: per operation conv1 [middle, inputs, 3, 1] and conv2 [output, middle, 1, 3]; per
 * scale one norm1 [sum of middles] and one norm2 [sum of outputs] over its operations. Returns the output axis.
 */
export function declareMixture(declaration: Declaration, block: LiveBlock, input: Axis): Axis {
  const part = block.name;
  const middle = (entry: LiveOperation) => axis(entry.middle.id, entry.middleWidth);
  const output = (entry: LiveOperation) => axis(entry.output.id, entry.outputWidth);
  const filter = (layer: string, { operation: { name } }: LiveOperation) => ({
    part,
    layer,
    name: `${part}/${name}/${layer}`,
  });
  for (const scale of scalesOf(block)) {
    const operations = atScale(block, scale);
    const norm = (layer: string) => ({ part, layer, name: `${part}/s${scale}/${layer}` });
    for (const entry of operations) declareFilter(declaration, filter("conv1", entry), middle(entry), input, [3, 1]);
    declareNorm(declaration, norm("norm1"), operations.flatMap(middle));
    for (const entry of operations)
      declareFilter(declaration, filter("conv2", entry), output(entry), middle(entry), [1, 3]);
    declareNorm(declaration, norm("norm2"), operations.flatMap(output));
  }
  return axis(part, block.outputs);
}

/**
 * A search block: ReLU(sum_o p_o mask_o (f_o(x) + x)), [N,inputs,H,W] -> [N,outputs,H,W]. By the identities of docs/method.md#identities,
 * masks and p_o are multiplied into gamma and beta, the skip connections are one product with x, operations of one scale are computed as
 * one, and those at half resolution are summed before one upsampling. dropout: per scale, factors [N, sum of outputs, 1, 1].
 */
export function mixture(
  weights: Tensors,
  block: LiveBlock,
  factors: BlockFactors,
  x: tf.Tensor,
  norm: Norm,
  dropout: (scale: number) => tf.Tensor | undefined,
): tf.Tensor {
  const [, , height, width] = x.shape as [number, number, number, number];
  const parts: tf.Tensor[] = [padChannels(skip(block, factors, x), block.outputs)];
  for (const scale of scalesOf(block)) {
    const input = scale === 2 ? maxPool2x2(x) : x;
    const sum = branches(weights, block, scale, factors, input, norm, dropout(scale));
    const full = scale === 2 ? resizeBilinear(sum, height, width) : sum;
    parts.push(padChannels(full, block.outputs));
  }
  return relu(tf.addN(parts));
}

/** x * sum_o p_o mask_o on the channels that input and output share. */
function skip(block: LiveBlock, factors: BlockFactors, x: tf.Tensor): tf.Tensor {
  const common = Math.min(block.inputs, block.outputs);
  const kept = channels(x, 0, common);
  return factors.presence ? tf.mul(kept, perChannel(factors.presence)) : kept;
}

/** sum_o p_o mask_o BN(conv_o2(ReLU(mask_mid BN(conv_o1(x))))) over the operations of one scale, as wide as the widest. */
function branches(
  weights: Tensors,
  block: LiveBlock,
  scale: number,
  factors: BlockFactors,
  x: tf.Tensor,
  norm: Norm,
  dropout: tf.Tensor | undefined,
): tf.Tensor {
  const name = `${block.name}/s${scale}`;
  const operations = atScale(block, scale);
  const middles = operations.map((entry) => entry.middleWidth);
  const outputs = operations.map((entry) => entry.outputWidth);
  const filter = ({ operation }: LiveOperation, layer: string) =>
    named(weights, `${block.name}/${operation.name}/${layer}`);
  const hidden = operations.map((entry) =>
    conv2d(x, filter(entry, "conv1"), { dilation: [entry.operation.dilation, 1] }),
  );
  const middleMask = ofScale(block, scale, factors.middle, (entry) => entry.middleWidth);
  const normalised = normed(weights, `${name}/norm1`, join(hidden), norm, middleMask);
  // ReLU comes after the split: its derivative and that of conv2 then keep the same tensors, so memory holds one copy.
  const active = (operations.length === 1 ? [normalised] : tf.split(normalised, middles, 1)).map((part) => relu(part));
  const joined = operations.map((entry, at) =>
    conv2d(active[at] ?? normalised, filter(entry, "conv2"), { dilation: [1, entry.operation.dilation] }),
  );
  const outputMask = ofScale(block, scale, factors.output, (entry) => entry.outputWidth);
  const out = normed(weights, `${name}/norm2`, join(joined), norm, outputMask);
  return summed(dropout ? tf.mul(out, dropout) : out, outputs);
}

/** Adds operations that are concatenated along channels: [N, sum of widths, H, W] -> [N, widest, H, W]. */
function summed(x: tf.Tensor, widths: readonly number[]): tf.Tensor {
  const k = widths.length;
  if (k === 1) return x;
  const widest = Math.max(...widths);
  const [n, , h, w] = x.shape as [number, number, number, number];
  if (widths.every((width) => width === widest)) return tf.sum(tf.reshape(x, [n, k, widest, h, w]), 1);
  return tf.addN(tf.split(x, [...widths], 1).map((part) => padChannels(part, widest)));
}

/** The part for one scale of a vector over all operations, which are ordered by scale. */
function ofScale(
  block: LiveBlock,
  scale: number,
  vector: tf.Tensor1D | undefined,
  width: (entry: LiveOperation) => number,
): tf.Tensor | undefined {
  const scales = scalesOf(block);
  if (!vector || scales.length === 1) return vector;
  const sizes = scales.map((each) => total(atScale(block, each).map(width)));
  return tf.split(vector, sizes)[scales.indexOf(scale)];
}

function join(tensors: tf.Tensor[]): tf.Tensor {
  return tensors.length === 1 && tensors[0] ? tensors[0] : tf.concat(tensors, 1);
}
