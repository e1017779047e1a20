import { binary, concat, expand, gather, matMul, pad, reshape, transpose } from "../../emit";
import type { Value } from "../../graph";
import { pooling } from "../../ops/window";
import type { Recorder } from "../../recorder";
import { generalConvolution, toBlocked } from "../emit";
import { upTo } from "../../signature";
import { emitNorm, emitNormGradient, type Normed } from "./norm";
import { addedChannels, filledUp, outputShape, type ReductionPlan } from "./plan";

interface StemInputs {
  /** [N, inputs, H, W] in plain order, fewer channels than a tile. */
  images: Value;
  /**
   * [output/tile * inputs * 9, tile] by tile of output channels, input, row and column; 0 for channels that the convolution does not
   * have.
   */
  filters: Value;
  /** Gamma and beta of the norm, [output]. */
  gamma: Value;
  beta: Value;
}

/**
 * The reduction of plain images. ONNX Runtime's blocked convolution reads plain images directly if they have few channels, one image
 * after the other.
 */
export function emitStem(r: Recorder, plan: ReductionPlan, { images, filters, gamma, beta }: StemInputs): Normed {
  const { tile, batch, height, width, inputs, convolution, epsilon } = plan;
  const { output } = filledUp(plan);
  const [h, w] = [height / 2, width / 2];
  const pooled = r.node("MaxPool", [images], [batch, inputs, h, w], "float32", pooling);
  const placed = toBlocked(r, pad(r, pooled, [0, convolution, 0, 0], [0, output - convolution - inputs, 0, 0]));
  const strides = { strides: [2, 2], pads: [1, 1, 1, 1] };
  const filter = reshape(r, filters, [output, inputs, 3, 3]);
  const each = generalConvolution(r, images, filter, [batch, output, h, w], strides, placed);
  // From one image after the other to images beside each other: whole rows move.
  const rows = transpose(r, reshape(r, each, [batch, output / tile, h, w * tile]), [1, 2, 0, 3]);
  return emitNorm(r, reshape(r, rows, outputShape(plan, output)), gamma, beta, epsilon);
}

/** Derivatives of the stem's weights; images have no derivative. */
export function emitStemGradient(
  r: Recorder,
  plan: ReductionPlan,
  inputs: Pick<StemInputs, "images" | "gamma">,
  saved: Normed,
  dy: Value,
): { filters: Value; gamma: Value; beta: Value } {
  const { tile, inputs: channels, epsilon } = plan;
  const { output } = filledUp(plan);
  const { gamma, beta, u, scale } = emitNormGradient(r, saved, inputs.gamma, dy, epsilon);
  const filters = r.within("WeightGradient", () => {
    const seen = taps(r, plan, inputs.images);
    const tiles = output / tile;
    const products = matMul(r, seen, reshape(r, u, [tiles, seen.shape[1] as number, tile]));
    const byTile = transpose(r, reshape(r, products, [tiles, 3, channels, 3, tile]), [0, 2, 3, 1, 4]);
    const masked = reshape(r, binary(r, "Mul", scale, r.constant(addedChannels(plan, output), [output], "float32")), [
      tiles,
      1,
      tile,
    ]);
    const all = [tiles, channels * 9, tile];
    return reshape(r, binary(r, "Mul", reshape(r, byTile, all), expand(r, masked, all)), [tiles * channels * 9, tile]);
  });
  return { filters, gamma, beta };
}

/**
 * Images as each tap of the filter sees them, [columns*inputs*rows, H/2*N*W/2]. Even and odd columns are separated, odd ones are shifted
 * for the first tap, then rows are gathered; a row of zeros follows the last row.
 */
function taps(r: Recorder, plan: ReductionPlan, images: Value): Value {
  const { batch, height, width, inputs } = plan;
  const [h, w] = [height / 2, width / 2];
  const beside = pad(r, transpose(r, images, [1, 2, 0, 3]), [0, 0, 0, 0], [0, 1, 0, 0]);
  const rows = inputs * (height + 1) * batch;
  const apart = transpose(r, reshape(r, beside, [rows, w, 2]), [2, 0, 1]);
  const before = pad(r, apart, [-1, 0, 1], [0, 0, -1]);
  const columns = reshape(r, concat(r, [before, apart], 0), [3 * inputs, height + 1, batch * w]);
  const seen = [-1, 0, 1].flatMap((shift) => upTo(h).map((row) => (2 * row + shift < 0 ? height : 2 * row + shift)));
  return reshape(r, gather(r, columns, seen, 1), [9 * inputs, h * batch * w]);
}
