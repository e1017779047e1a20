import { concat, gather, reshape, sizeOf } from "../../emit";
import type { Value } from "../../graph";
import type { Recorder } from "../../recorder";
import { channelsOf, shiftColumns } from "../emit";
import { upTo } from "../../signature";
import { movedRows, product, turned } from "../product";
import { layerInput, type Activations } from "./forward";
import { convolutions, rowsShape, tapsOf, type Branch, type MixturePlan } from "./plan";

/**
 * Derivatives of all filters, computed from u instead of the derivatives of the convolutions' outputs (gradient.ts): [squares, tile, tile].
 * Each is a product of two matrices over positions. A blocked 1x1 convolution computes it without reordering u: its input channels are the
 * positions, its filter is u, its input is x with squares of positions transposed, and its result is in squares. For each row of a filter, x
 * is shifted, one image per row; for each column, u is shifted the other way, so that x is transposed once.
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
  const products = inOrder(plan).flatMap(({ branch, layer, kernel, inputs }) => {
    const { scale, dilation } = plan.branches[branch] as Branch;
    const own = layerInput(plan, x, saved, { branch, layer });
    const input = turned(r, saved.spread[layer][branch] ?? own, tile);
    const h = height / scale;
    const seen = kernel[0] > 1 && dilation < h ? movedRows(r, input, [inputs / tile, h], dilation) : input;
    const u = (layer === 1 ? u1 : u2)[branch] as Value;
    const rows = reshape(r, u, rowsShape(plan, scale, channelsOf(u)));
    const columns = kernel[1] > 1 ? movedColumns(r, rows, dilation, tile) : [u];
    return columns.map((each) => product(r, seen, each, tile));
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

/** The products of a convolution: rows and columns of its filter that see more than padding, tiles of input and output, and first square. */
type Place = Record<"rows" | "columns" | "from" | "to" | "first", number>;

/**
 * Index of each square among the products, in the order of the filters. A square of zeros follows the products, for taps that see only
 * padding.
 */
function squareOrder(plan: MixturePlan): number[] {
  const { tile, height, width } = plan;
  const places = new Map<string, Place>();
  let next = 0;
  for (const { branch, layer, kernel, inputs, outputs } of inOrder(plan)) {
    const { scale, dilation } = plan.branches[branch] as Branch;
    const rows = dilation < height / scale ? kernel[0] : 1;
    const columns = dilation < width / scale ? kernel[1] : 1;
    const [from, to] = [inputs / tile, outputs / tile];
    places.set(`${branch}/${layer}`, { rows, columns, from, to, first: next });
    next += rows * columns * from * to;
  }
  const zeros = next;
  return convolutions(plan).flatMap(({ branch, layer, kernel }) => {
    const { rows, columns, from, to, first } = places.get(`${branch}/${layer}`) as Place;
    const taps = tapsOf(kernel);
    return upTo(from * to * taps).map((at) => {
      const [outputTile, inputTile, tap] = [Math.floor(at / (from * taps)), Math.floor(at / taps) % from, at % taps];
      const row = placeOf(Math.floor(tap / kernel[1]), kernel[0], rows);
      const column = placeOf(tap % kernel[1], kernel[1], columns);
      if (row === undefined || column === undefined) return zeros;
      return first + ((column * from + inputTile) * rows + row) * to + outputTile;
    });
  });
}

/** Place of a row or column of a filter among those that were computed; undefined for an outer one that sees only padding. */
function placeOf(index: number, all: number, computed: number): number | undefined {
  if (computed === all) return index;
  return index === (all - 1) / 2 ? 0 : undefined;
}
