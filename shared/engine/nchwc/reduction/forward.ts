import { binary, concat, pad, reshape } from "../../emit";
import type { Value } from "../../graph";
import type { Recorder } from "../../recorder";
import { channelsOf, generalConvolution, maxPool, shiftColumns, withChannels } from "../emit";
import { emitNorm, type Normed } from "./norm";
import { filledUp, inputShape, outputShape, type ReductionPlan } from "./plan";

/** Values of the forward pass that the gradient reads. */
export interface ReductionActivations extends Normed {
  /** The columns of the input that each tap sees, tap by tap: [1, 3*input, H, N*W/2]. */
  columns: Value;
  /** The max-pooled input, [1, input, H/2, N*W/2]. */
  pooled: Value;
}

export interface ReductionInputs {
  /** [1, input, H, N*W] blocked. */
  x: Value;
  /** [squares, tile, tile] by output tile, column of the filter, input tile, row of the filter. */
  filters: Value;
  /** Masked gamma and beta of the norm, [output]. */
  gamma: Value;
  beta: Value;
}

/**
 * Forward pass. A filter that spans columns must not reach from one image into the next. So a depthwise filter that spans only columns
 * first separates the columns of each tap; the convolution itself then spans only rows.
 */
export function emitReduction(r: Recorder, plan: ReductionPlan, inputs: ReductionInputs): ReductionActivations {
  const { tile, batch, height, width, epsilon } = plan;
  const { input, added } = filledUp(plan);
  const rows = reshape(r, inputs.x, [1, input, height * batch, width]);
  const taps = ([0, 1, 2] as const).map((tap) => shiftColumns(r, rows, tap, 1, tile, 2));
  const columns = reshape(r, concat(r, taps, 1), [1, 3 * input, height, (batch * width) / 2]);
  const filter = reshape(r, inputs.filters, [added, 3 * input, 3, 1]);
  const convolved = generalConvolution(r, columns, filter, outputShape(plan, added), {
    strides: [2, 1],
    pads: [1, 0, 1, 0],
  });
  const pooled = maxPool(r, reshape(r, inputs.x, inputShape(plan, input)));
  const h = joined(r, plan, convolved, pooled);
  return { columns, pooled, ...emitNorm(r, h, inputs.gamma, inputs.beta, epsilon) };
}

/** Concatenates the channels of the convolution and those of the pooled input. */
function joined(r: Recorder, plan: ReductionPlan, convolved: Value, pooled: Value): Value {
  const { first, behind } = place(plan);
  if (behind === 0) return concat(r, [convolved, pooled], 1);
  const moved = moveChannels(r, plan, pooled, filledUp(plan).output - first, behind);
  return binary(
    r,
    "Add",
    withChannels(r, convolved, first + channelsOf(moved)),
    pad(r, moved, [0, first, 0, 0], [0, 0, 0, 0]),
  );
}

/** Begin of the pooled channels in the output: `behind` channels into the tile that begins at channel `first`. */
export function place({ tile, convolution }: ReductionPlan): { first: number; behind: number } {
  const behind = convolution % tile;
  return { first: convolution - behind, behind };
}

/** Moves channel c of x to channel c + by of `count`, exactly, by a 1x1 convolution with ones and zeros. */
export function moveChannels(r: Recorder, { tile }: ReductionPlan, x: Value, count: number, by: number): Value {
  const from = channelsOf(x);
  const filter = new Float32Array(count * from);
  for (let input = 0; input < from; input++) {
    const output = input + by;
    if (output < 0 || output >= count) continue;
    const square = Math.floor(output / tile) * (from / tile) + Math.floor(input / tile);
    filter[square * tile * tile + (input % tile) * tile + (output % tile)] = 1;
  }
  const shape = [x.shape[0] as number, count, ...x.shape.slice(2)];
  return generalConvolution(r, x, r.constant(filter, [count, from, 1, 1], "float32"), shape);
}
