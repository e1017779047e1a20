import { concat, reshape, sizeOf } from "../../emit";
import type { Value } from "../../graph";
import type { Recorder } from "../../recorder";
import { channelsOf, count, shiftColumns } from "../emit";
import { movedRows, product, turned } from "../product";
import type { Activations } from "./forward";
import { convolutions, type Branch, type MixturePlan } from "./plan";

/**
 * Derivative of all kernels by u instead of by what their norms pass back (gradient.ts), [tiles, block, block]. It is a product of two
 * matrices over positions, which a blocked 1x1 convolution computes without reordering either: positions are its input channels, u as
 * it lies is its kernel, x with its tiles of positions transposed its input, and the result is in tiles. Along rows x is moved to where
 * each tap sees it, an image of its own per tap; along columns u is moved the other way, so that x is transposed once.
 */
export function emitKernelGradient(
  r: Recorder,
  plan: MixturePlan,
  x: Value,
  saved: Activations,
  u1: readonly Value[],
  u2: readonly Value[],
): Value {
  const { block, height } = plan;
  const products = inOrder(plan).flatMap(({ branch, layer }) => {
    const { scale, dilation } = plan.branches[branch] as Branch;
    if (layer === 2) {
      const input = turned(r, saved.active[branch] as Value, block);
      return movedColumns(r, u2[branch] as Value, dilation, block).map((u) => product(r, input, u, block));
    }
    const h = height / scale;
    const input = turned(r, scale === 2 && saved.pooled ? saved.pooled : x, block);
    const taps = dilation < h ? movedRows(r, input, [channelsOf(x) / block, h], dilation) : input;
    return [product(r, taps, u1[branch] as Value, block)];
  });
  const all = concat(r, [...sideBySide(r, products, block), zeroTile(r, block)], 0);
  const order = r.integers(tileOrder(plan));
  const shape = [order.shape[0] as number, block * block];
  return reshape(r, r.node("Gather", [all, order], shape, "float32", { axis: 0 }), [shape[0] as number, block, block]);
}

/** The convolutions in the order in which their products lie: those of as many outputs beside each other. */
function inOrder(plan: MixturePlan) {
  return convolutions(plan).sort((a, b) => a.outputs - b.outputs);
}

/** Products [images, Co, block, 1] as tiles [tiles, block * block], those of as many outputs in one. */
function sideBySide(r: Recorder, products: readonly Value[], block: number): Value[] {
  const widths = [...new Set(products.map(channelsOf))];
  return widths.map((width) => {
    const joined = concat(
      r,
      products.filter((value) => channelsOf(value) === width),
      0,
    );
    return reshape(r, joined, [sizeOf(joined) / block ** 2, block * block]);
  });
}

/** A tile of zeros, for taps that see only padding. */
function zeroTile(r: Recorder, block: number): Value {
  return r.constant(new Float32Array(block * block), [1, block * block], "float32");
}

/** u moved by each tap of a convolution along columns, against the direction in which it sees x; not by the outer ones where these see only padding. */
function movedColumns(r: Recorder, u: Value, dilation: number, block: number): Value[] {
  if (dilation >= (u.shape[3] as number)) return [u];
  return [shiftColumns(r, u, 2, dilation, block), u, shiftColumns(r, u, 0, dilation, block)];
}

/** Of each tile in its order, where the products have it; behind all of them lies a tile of zeros, for taps that see only padding. */
function tileOrder(plan: MixturePlan): number[] {
  const { block, height, width } = plan;
  const places = new Map<string, { taps: number; from: number; to: number; first: number }>();
  let next = 0;
  for (const { branch, layer, inputs, outputs } of inOrder(plan)) {
    const { scale, dilation } = plan.branches[branch] as Branch;
    const taps = dilation < (layer === 1 ? height : width) / scale ? 3 : 1;
    const [from, to] = [inputs / block, outputs / block];
    places.set(`${branch}/${layer}`, { taps, from, to, first: next });
    next += taps * from * to;
  }
  const zeros = next;
  return convolutions(plan).flatMap(({ branch, layer }) => {
    const { taps, from, to, first } = places.get(`${branch}/${layer}`) as {
      taps: number;
      from: number;
      to: number;
      first: number;
    };
    return count(from * to * 3).map((at) => {
      const [outputBlock, inputBlock, tap] = [Math.floor(at / (from * 3)), Math.floor(at / 3) % from, at % 3];
      if (taps === 1) return tap === 1 ? first + inputBlock * to + outputBlock : zeros;
      const image = layer === 1 ? inputBlock * 3 + tap : tap * from + inputBlock;
      return first + image * to + outputBlock;
    });
  });
}
