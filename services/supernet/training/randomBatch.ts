import type { Batch } from "../../../shared/data/batches";
import type { Random } from "../../../shared/engine/random";
import type { SearchSpace } from "../../../shared/proto/lathe/v1/space";
import { searchStride } from "../../../shared/space/head";

/**
 * A batch of `size` random images in 0 to 1 with random labels at 1/stride, by default that of the supernet, for steps whose result does not
 * matter.
 */
export function randomBatch(space: SearchSpace, size: number, random: Random, stride = searchStride(space)): Batch {
  const { inputHeight, inputWidth, classes } = space;
  const pixels = inputHeight * inputWidth;
  const cells = pixels / stride ** 2;
  return {
    images: Float32Array.from({ length: size * 3 * pixels }, () => random.next()),
    labels: Int32Array.from({ length: size * cells }, () => random.integer(classes)),
    size,
    indices: [],
  };
}
