import { conv2d } from "../engine/ops/conv2d";
import { maxPool2x2 } from "../engine/ops/maxPool";
import { relu } from "../engine/ops/relu";
import { resizeBilinear } from "../engine/ops/resize";
import { tf } from "../engine/tf";
import { atScale, type LiveBlock, type LiveOperation } from "./live";
import { declareNorm, named, perChannel, type Declaration, type Norm, type Tensors } from "./layers";
import type { BlockRelaxation } from "./relaxation";

/** The spatial scales at which a block still has operations. */
export function scalesOf(block: LiveBlock): number[] {
  return [...new Set(block.operations.map(({ operation }) => operation.scale))];
}

/** Weights of a block: per scale the stacks [k, C, C, 3, 1], [k, C, C, 1, 3] and two norms [k, C], rows in the order of survivors. */
export function declareMixture(declaration: Declaration, block: LiveBlock, c: number): void {
  for (const scale of scalesOf(block)) {
    const k = atScale(block, scale).length;
    const name = `${block.name}/s${scale}`;
    declaration.weights.push({ name: `${name}/conv1`, shape: [k, c, c, 3, 1] });
    declareNorm(declaration, `${name}/norm1`, [k, c]);
    declaration.weights.push({ name: `${name}/conv2`, shape: [k, c, c, 1, 3] });
    declareNorm(declaration, `${name}/norm2`, [k, c]);
  }
}

/**
 * A search block: ReLU(sum_o p_o mask_o (f_o(x) + x)), [N,C,H,W] -> [N,C,H,W], with the identities of method.md section 6:
 * masks and mixture weights live in gamma and beta, the skip is one pass over x, operations of one scale are batched along
 * channels, and those at half resolution are summed there and upsampled once. dropout: per scale, factors [N, k*C, 1, 1].
 */
export function mixture(
  weights: Tensors,
  block: LiveBlock,
  relaxation: BlockRelaxation,
  x: tf.Tensor,
  norm: Norm,
  dropout: (scale: number) => tf.Tensor | undefined,
): tf.Tensor {
  const [, , height, width] = x.shape as [number, number, number, number];
  const parts: tf.Tensor[] = [tf.mul(x, perChannel(relaxation.presence))];
  for (const scale of scalesOf(block)) {
    const rows = block.operations.flatMap((entry, row) => (entry.operation.scale === scale ? [row] : []));
    const scaled = { p: tf.reshape(relaxation.p, [-1, 1]), output: relaxation.output, middle: relaxation.middle };
    const first = rows[0] ?? 0;
    const take = (t: tf.Tensor) => tf.slice(t, [first, 0], [rows.length, t.shape[1] ?? 1]);
    const masks = { middle: take(scaled.middle), output: tf.mul(take(scaled.output), take(scaled.p)) };
    const input = scale === 2 ? maxPool2x2(x as tf.Tensor4D) : x;
    const sum = branches(weights, `${block.name}/s${scale}`, atScale(block, scale), masks, input, norm, dropout(scale));
    parts.push(scale === 2 ? resizeBilinear(sum as tf.Tensor4D, height, width) : sum);
  }
  return relu(tf.addN(parts) as tf.Tensor4D);
}

/** sum_o p_o mask_o BN(conv_o2(ReLU(mask_mid BN(conv_o1(x))))) over the operations of one scale. */
function branches(
  weights: Tensors,
  name: string,
  operations: LiveOperation[],
  masks: { middle: tf.Tensor; output: tf.Tensor },
  x: tf.Tensor,
  norm: Norm,
  dropout: tf.Tensor | undefined,
): tf.Tensor {
  const k = operations.length;
  const first = kernels(named(weights, `${name}/conv1`));
  const second = kernels(named(weights, `${name}/conv2`));
  const dilated = (input: tf.Tensor, kernel: tf.Tensor4D, at: number, axis: 0 | 1) => {
    const d = operations[at]?.operation.dilation ?? 1;
    return conv2d(input as tf.Tensor4D, kernel, { dilation: axis === 0 ? [d, 1] : [1, d] });
  };
  const hidden = join(first.map((kernel, at) => dilated(x, kernel, at, 0)));
  const active = relu(affine(weights, `${name}/norm1`, hidden, masks.middle, norm) as tf.Tensor4D);
  const inputs = k === 1 ? [active] : tf.split(active, k, 1);
  const joined = join(second.map((kernel, at) => dilated(inputs[at] ?? active, kernel, at, 1)));
  let out = affine(weights, `${name}/norm2`, joined, masks.output, norm);
  if (dropout) out = tf.mul(out, dropout);
  if (k === 1) return out;
  const [n, kc, h, w] = out.shape as [number, number, number, number];
  return tf.sum(tf.reshape(out, [n, k, kc / k, h, w]), 1);
}

/** BN with the mask multiplied into gamma and beta: mask * BN(x), identity 1. */
function affine(weights: Tensors, name: string, x: tf.Tensor, mask: tf.Tensor, norm: Norm): tf.Tensor {
  return norm(name, x, tf.mul(named(weights, `${name}/gamma`), mask), tf.mul(named(weights, `${name}/beta`), mask));
}

/** [k, Cout, Cin, kh, kw] as k kernels. */
function kernels(stack: tf.Tensor): tf.Tensor4D[] {
  const [k, ...shape] = stack.shape as [number, number, number, number, number];
  const parts = k === 1 ? [stack] : tf.split(stack, k, 0);
  return parts.map((part) => tf.reshape(part, shape));
}

function join(tensors: tf.Tensor[]): tf.Tensor {
  return tensors.length === 1 && tensors[0] ? tensors[0] : tf.concat(tensors, 1);
}
