import { concat, gather, reshape, sizeOf } from "../../emit";
import type { Value } from "../../graph";
import type { Recorder } from "../../recorder";
import { channelsOf, shiftColumns } from "../emit";
import { upTo } from "../../signature";
import { movedRows, product, turned } from "../product";
import type { Activations } from "./forward";
import { convolutions, type Branch, type MixturePlan } from "./plan";

/**
 * Derivatives of all filters, computed from u instead of the derivatives of the convolutions' outputs (gradient.ts): [squares, tile, tile].
 * Each is a product of two matrices over positions. A blocked 1x1 convolution computes it without reordering u: its input channels are the
 * positions, its filter is u, its input is x with squares of positions transposed, and its result is in squares. Along rows, x is shifted
 * for each tap, one image per tap; along columns, u is shifted the other way, so that x is transposed once.
 */
export function emitFilterGradient(
  r: Recorder,
  plan: MixturePlan,
  x: Value,
  saved: Activations,
  u1: readonly Value[],
  u2: readonly Value[],
): Value {
  const { tile, height } = plan;
  const products = inOrder(plan).flatMap(({ branch, layer }) => {
    const { scale, dilation } = plan.branches[branch] as Branch;
    if (layer === 2) {
      const input = turned(r, saved.active[branch] as Value, tile);
      return movedColumns(r, u2[branch] as Value, dilation, tile).map((u) => product(r, input, u, tile));
    }
    const h = height / scale;
    const input = turned(r, scale === 2 && saved.pooled ? saved.pooled : x, tile);
    const taps = dilation < h ? movedRows(r, input, [channelsOf(x) / tile, h], dilation) : input;
    return [product(r, taps, u1[branch] as Value, tile)];
  });
  const all = concat(r, [...sideBySide(r, products, tile), zeroSquare(r, tile)], 0);
  const order = squareOrder(plan);
  return reshape(r, gather(r, all, order), [order.length, tile, tile]);
}

/** The convolutions in the order of their products: those with equal numbers of outputs are neighbours. */
function inOrder(plan: MixturePlan) {
  return convolutions(plan).sort((a, b) => a.outputs - b.outputs);
}

/** Products [images, Co, tile, 1] as squares [squares, tile * tile]; those with equal numbers of outputs are concatenated. */
function sideBySide(r: Recorder, products: readonly Value[], tile: number): Value[] {
  const widths = [...new Set(products.map(channelsOf))];
  return widths.map((width) => {
    const joined = concat(
      r,
      products.filter((value) => channelsOf(value) === width),
      0,
    );
    return reshape(r, joined, [sizeOf(joined) / tile ** 2, tile * tile]);
  });
}

/** A square of zeros, for taps that see only padding. */
function zeroSquare(r: Recorder, tile: number): Value {
  return r.constant(new Float32Array(tile * tile), [1, tile * tile], "float32");
}

/** u shifted for each tap of a convolution along columns, opposite to the tap's offset in x; without outer taps that see only padding. */
function movedColumns(r: Recorder, u: Value, dilation: number, tile: number): Value[] {
  if (dilation >= (u.shape[3] as number)) return [u];
  return [shiftColumns(r, u, 2, dilation, tile), u, shiftColumns(r, u, 0, dilation, tile)];
}

/** The products of a convolution: number of taps, tiles of input and output, and index of the first square. */
type Place = Record<"taps" | "from" | "to" | "first", number>;

/**
 * Index of each square among the products, in the order of the filters. A square of zeros follows the products, for taps that see only
 * padding.
 */
function squareOrder(plan: MixturePlan): number[] {
  const { tile, height, width } = plan;
  const places = new Map<string, Place>();
  let next = 0;
  for (const { branch, layer, inputs, outputs } of inOrder(plan)) {
    const { scale, dilation } = plan.branches[branch] as Branch;
    const taps = dilation < (layer === 1 ? height : width) / scale ? 3 : 1;
    const [from, to] = [inputs / tile, outputs / tile];
    places.set(`${branch}/${layer}`, { taps, from, to, first: next });
    next += taps * from * to;
  }
  const zeros = next;
  return convolutions(plan).flatMap(({ branch, layer }) => {
    const { taps, from, to, first } = places.get(`${branch}/${layer}`) as Place;
    return upTo(from * to * 3).map((at) => {
      const [outputTile, inputTile, tap] = [Math.floor(at / (from * 3)), Math.floor(at / 3) % from, at % 3];
      if (taps === 1) return tap === 1 ? first + inputTile * to + outputTile : zeros;
      const image = layer === 1 ? inputTile * 3 + tap : tap * from + inputTile;
      return first + image * to + outputTile;
    });
  });
}
