import { cast, gather, pad, reduce, reshape, sizeOf } from "../../emit";
import type { Value } from "../../graph";
import type { Recorder } from "../../recorder";
import { upTo } from "../../signature";
import { channelsOf, depthwise, split } from "../emit";
import { depthwises, imageShape, rowsShape, tapsOf, type Branch, type Depthwise, type MixturePlan } from "./plan";

/** Filters by layer and branch, [channels, 1, rows, columns]; undefined where a branch has no depthwise convolution. */
type ChannelFilters = Record<1 | 2, (Value | undefined)[]>;

/** The filters of the depthwise convolutions of a mixture. filters: blocked, all in the order of `depthwises`. */
export function channelFilters(r: Recorder, plan: MixturePlan, filters: Value | undefined): ChannelFilters {
  const result: ChannelFilters = { 1: [], 2: [] };
  if (!filters) return result;
  const list = depthwises(plan);
  const sizes = list.map(({ channels, kernel }) => channels * tapsOf(kernel));
  const parts = split(r, reshape(r, filters, [sizeOf(filters)]), sizes);
  list.forEach(({ branch, layer, kernel, channels }, at) => {
    result[layer][branch] = reshape(r, parts[at] as Value, [channels, 1, ...kernel]);
  });
  return result;
}

/** The filters of the input gradients: taps reversed. filters: as channelFilters takes them. */
export function reversedFilters(r: Recorder, plan: MixturePlan, filters: Value): Value {
  const { tile } = plan;
  let first = 0;
  const order = depthwises(plan).flatMap(({ channels, kernel }) => {
    const [tiles, taps, start] = [channels / tile, tapsOf(kernel), first];
    first += tiles * taps;
    return upTo(tiles * taps).map((at) => start + at + taps - 1 - 2 * (at % taps));
  });
  return gather(r, reshape(r, filters, [order.length, tile]), order);
}

const reach = (size: number, step: number): number => ((size - 1) / 2) * step;

/**
 * The depthwise convolution of a branch, or with reversed taps its input gradient: x in either view -> [1, C, H, N*W]. `sum` is added.
 */
export function convolveChannels(
  r: Recorder,
  plan: MixturePlan,
  { scale, dilation }: Branch,
  x: Value,
  filter: Value,
  sum?: Value,
): Value {
  const channels = channelsOf(x);
  const shape = rowsShape(plan, scale, channels);
  const [rows, columns] = filter.shape.slice(2) as [number, number];
  // In the view of rows, the next row of an image is as many rows away as there are images.
  const [down, right] = [dilation * plan.batch, dilation];
  const [tall, wide] = [reach(rows, down), reach(columns, right)];
  const y = depthwise(r, reshape(r, x, shape), filter, shape, {
    ...{ dilations: [down, right], pads: [tall, wide, tall, wide] },
    ...(sum && { sum: reshape(r, sum, shape) }),
  });
  return reshape(r, y, imageShape(plan, scale, channels));
}

/**
 * The gradient of a filter of a depthwise convolution with the input x and the derivative dy of its output, [channels * taps] in the
 * filter's order. For each tap it is the sum over positions of dy times x moved by the tap: a depthwise convolution whose filter is dy, with
 * the distance of two taps as its stride. Each row of an image is a group of its own, and the rows are added in float64, so that the error is
 * that of a sum over one row.
 */
export function channelFilterGradient(
  r: Recorder,
  plan: MixturePlan,
  { branch, kernel, channels }: Depthwise,
  x: Value,
  dy: Value,
): Value {
  const { tile, batch } = plan;
  const { scale, dilation } = plan.branches[branch] as Branch;
  const [height, width, tiles] = [plan.height / scale, plan.width / scale, channels / tile];
  const [taps, wide] = [kernel[0], reach(kernel[1], dilation)];
  const rows = height * batch;
  // The rows that the taps see from each row; a row of zeros stands behind the images, for those beyond their edges.
  const order = upTo(rows).flatMap((row) =>
    upTo(taps).map((tap) => {
      const seen = row + (tap - (taps - 1) / 2) * dilation * batch;
      return seen >= 0 && seen < rows ? seen : rows;
    }),
  );
  const image = pad(r, reshape(r, x, [tiles, rows, width * tile]), [0, 0, 0], [0, 1, 0]);
  const seen = reshape(r, gather(r, image, order, 1), [1, channels * rows, taps, width]);
  const filter = reshape(r, dy, [channels * rows, 1, 1, width]);
  const sums = depthwise(r, seen, filter, [1, channels * rows, ...kernel], {
    ...{ strides: [1, dilation], pads: [0, wide, 0, wide] },
  });
  const exact = cast(r, reshape(r, sums, [tiles, rows, tapsOf(kernel) * tile]), "float64");
  return reshape(r, cast(r, reduce(r, "ReduceSum", exact, [1], false), "float32"), [channels * tapsOf(kernel)]);
}
