import { reshape } from "../../emit";
import type { Value } from "../../graph";
import type { Recorder } from "../../recorder";
import { channelsOf, convolution } from "../emit";
import { imageShape, rowsShape, type Branch, type MixturePlan } from "./plan";

/**
 * The convolution of a layer of a branch, or with exchanged filters that of its input's gradient: x in either view -> [1, outputs, H, N*W].
 * A filter of one column runs in the view of images, which ONNX Runtime computes faster. All others run in the view of rows, where a row of
 * an image is as many rows away as there are images. `sum` is added.
 */
export function convolve(
  r: Recorder,
  plan: MixturePlan,
  { scale, dilation, kernels }: Branch,
  layer: 1 | 2,
  x: Value,
  filter: Value,
  outputs: number,
  sum?: Value,
): Value {
  const kernel = kernels[layer];
  const rows = kernel[1] > 1;
  const view = (value: Value) => reshape(r, value, (rows ? rowsShape : imageShape)(plan, scale, channelsOf(value)));
  const how = { kernel, dilation, rowStep: rows ? plan.batch : 1, tile: plan.tile, sum: sum && view(sum) };
  return reshape(r, convolution(r, view(x), filter, outputs, how), imageShape(plan, scale, outputs));
}
