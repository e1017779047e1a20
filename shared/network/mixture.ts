import { maxPool2x2 } from "../engine/ops/maxPool";
import { relu } from "../engine/ops/relu";
import { resizeBilinear } from "../engine/ops/resize";
import { tf } from "../engine/tf";
import type { LiveBlock, LiveOperation } from "../space/live";
import { axis, declareNorm, type Axis, type Declaration } from "./declaration";
import type { BlockFactors } from "./factors";
import { channels, normed, padChannels, perChannel, type Norm, type Tensors } from "./layers";
import { declareHalf, half } from "./operation";

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
 * Declares a search block at its surviving widths: per operation the filters of both halves (declareHalf); per scale one norm1 [sum of
 * middles] and one norm2 [sum of outputs] over its operations. Returns the output axis.
 */
export function declareMixture(declaration: Declaration, block: LiveBlock, input: Axis): Axis {
  const part = block.name;
  const middle = (entry: LiveOperation) => axis(entry.middle.id, entry.middleChannels);
  const output = (entry: LiveOperation) => axis(entry.output.id, entry.outputWidth);
  const place = ({ operation: { name } }: LiveOperation) => ({ part, name: `${part}/${name}` });
  for (const scale of scalesOf(block)) {
    const operations = atScale(block, scale);
    const norm = (layer: string) => ({ part, layer, name: `${part}/s${scale}/${layer}` });
    for (const entry of operations) declareHalf(declaration, place(entry), entry.operation, 1, middle(entry), input);
    declareNorm(declaration, norm("norm1"), operations.flatMap(middle));
    for (const entry of operations)
      declareHalf(declaration, place(entry), entry.operation, 2, output(entry), middle(entry));
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
  const middles = operations.map((entry) => entry.middleChannels);
  const outputs = operations.map((entry) => entry.outputWidth);
  const convolved = ({ operation }: LiveOperation, side: 1 | 2, from: tf.Tensor) =>
    half(weights, `${block.name}/${operation.name}`, operation, side, from);
  const hidden = operations.map((entry) => convolved(entry, 1, x));
  const middleMask = ofScale(block, scale, factors.middle, (entry) => entry.middleChannels);
  const normalised = normed(weights, `${name}/norm1`, join(hidden), norm, middleMask);
  // ReLU comes after the split: its derivative and that of conv2 then keep the same tensors, so memory holds one copy.
  const active = (operations.length === 1 ? [normalised] : tf.split(normalised, middles, 1)).map((part) => relu(part));
  const joined = operations.map((entry, at) => convolved(entry, 2, active[at] ?? normalised));
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
