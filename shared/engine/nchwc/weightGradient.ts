import { concat, reshape, slice } from "../emit";
import type { Value } from "../graph";
import type { Recorder } from "../recorder";
import { channelsOf, pointwise, shiftColumns, toPlain } from "./emit";
import type { Activations } from "./forward";
import { convolutions, type MixturePlan } from "./plan";

/**
 * Derivative of all kernels by u instead of by what their norms pass back (gradient.ts), [tiles, block, block]. Of one tap it is the product of two matrices over positions, which a blocked 1x1
 * convolution computes without reordering either: positions are its input channels, u as it lies is its kernel, x with its
 * tiles of positions transposed its input, and the result is in the order of tiles.
 */
export function emitKernelGradient(
  r: Recorder,
  plan: MixturePlan,
  x: Value,
  saved: Activations,
  u1: readonly Value[],
  u2: readonly Value[],
): Value {
  const { block, batch, height, width, branches } = plan;
  const inputs = new Map<number, Value>();
  const turnedInput = (branchScale: 1 | 2): Value => {
    const known = inputs.get(branchScale) ?? turned(r, branchScale === 2 && saved.pooled ? saved.pooled : x, block);
    inputs.set(branchScale, known);
    return known;
  };
  const products = branches.flatMap(({ scale: s, dilation }, at) => {
    const [h, w] = [height / s, width / s];
    const row = batch * w;
    const [first, second] = [u1[at] as Value, u2[at] as Value];
    const active = saved.active[at] as Value;
    return [
      ...rowTaps(r, turnedInput(s), first, h, row, dilation, block),
      ...columnTaps(r, active, second, [h * batch, w], dilation, block),
    ];
  });
  const flat = concat(r, products, 0);
  const all = reshape(r, flat, [(flat.shape[0] as number) / block ** 2, block * block]);
  const order = r.integers(tileOrder(plan));
  const tilesInOrder = r.node("Gather", [all, order], [order.shape[0] as number, block * block], "float32", {
    axis: 0,
  });
  return reshape(r, tilesInOrder, [order.shape[0] as number, block, block]);
}

/** [C/block, L, block] with each tile of block positions transposed: [C/block, L/block, channel, position]. */
function turned(r: Recorder, x: Value, block: number): Value {
  const size = x.shape.reduce((product, length) => product * length, 1);
  const shape = [size / block ** 2, block, block, 1];
  return reshape(r, toPlain(r, reshape(r, x, shape)), x.shape);
}

/** One tap's product: x turned, u blocked, both over L positions; [Ci/block * Co/block * block * block]. */
function product(r: Recorder, x: Value, u: Value, positions: number, block: number): Value {
  const [from, to] = [channelsOf(x), channelsOf(u)];
  const y = pointwise(r, reshape(r, x, [from / block, positions, block, 1]), reshape(r, u, [to, positions, 1, 1]));
  return reshape(r, y, [from * to]);
}

/** The three taps of a convolution along rows: shifted rows are slices; a tap that sees only padding is 0. */
function rowTaps(
  r: Recorder,
  x: Value,
  u: Value,
  height: number,
  row: number,
  dilation: number,
  block: number,
): Value[] {
  const [from, to] = [channelsOf(x), channelsOf(u)];
  const middle = product(r, x, u, height * row, block);
  if (dilation >= height) return [zeros(r, from * to), middle, zeros(r, from * to)];
  const valid = height - dilation;
  // Rows of whole tiles, contiguous within each block of channels.
  const rows = (value: Value, first: number) => {
    const channels = channelsOf(value);
    const cut = slice(r, reshape(r, value, [channels / block, height, row * block]), [1], [first], [valid]);
    return reshape(r, cut, [1, channels, valid, row]);
  };
  return [
    product(r, rows(x, 0), rows(u, dilation), valid * row, block),
    middle,
    product(r, rows(x, dilation), rows(u, 0), valid * row, block),
  ];
}

/** The three taps of a convolution along columns: shifted columns come from a depthwise convolution. */
function columnTaps(
  r: Recorder,
  x: Value,
  u: Value,
  [rows, width]: readonly [number, number],
  dilation: number,
  block: number,
): Value[] {
  const [from, to] = [channelsOf(x), channelsOf(u)];
  const positions = rows * width;
  const middle = product(r, turned(r, x, block), u, positions, block);
  if (dilation >= width) return [zeros(r, from * to), middle, zeros(r, from * to)];
  const image = reshape(r, x, [1, from, rows, width]);
  const tap = (which: 0 | 2) =>
    product(r, turned(r, shiftColumns(r, image, which, dilation, block), block), u, positions, block);
  return [tap(0), middle, tap(2)];
}

function zeros(r: Recorder, length: number): Value {
  return r.constant(new Float32Array(length), [length], "float32");
}

/** Of each tile in its order, where the products have it: per convolution and tap by input block, then output block. */
function tileOrder(plan: MixturePlan): number[] {
  let first = 0;
  return convolutions(plan).flatMap(({ inputs, outputs }) => {
    const [from, to] = [inputs / plan.block, outputs / plan.block];
    const start = first;
    first += from * to * 3;
    return Array.from({ length: from * to * 3 }, (_, at) => {
      const [outputBlock, inputBlock, tap] = [Math.floor(at / (from * 3)), Math.floor(at / 3) % from, at % 3];
      return start + (tap * from + inputBlock) * to + outputBlock;
    });
  });
}
