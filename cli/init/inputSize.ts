import type { Size } from "../../shared/data/images";
import type { ImageSize } from "../../shared/proto/lathe/v1/result";

/**
 * An input size with the median aspect of the images and at most as many pixels as `area` and as that image, as near as multiples of `factor`
 * allow.
 */
export function inputSize(sizes: readonly ImageSize[], area: number, factor: number): Size {
  const { height, width } = median(sizes);
  const shrink = Math.min(1, Math.sqrt(area / (height * width)));
  const multiple = (side: number): number => Math.max(1, Math.round((side * shrink) / factor)) * factor;
  return { height: multiple(height), width: multiple(width) };
}

/** The size in the middle of all images in the order of their aspects. */
function median(sizes: readonly ImageSize[]): Size {
  const byAspect = [...sizes].sort((a, b) => a.width / a.height - b.width / b.height);
  let half = byAspect.reduce((sum, { images }) => sum + images, 0) / 2;
  return byAspect.find(({ images }) => (half -= images) <= 0)!;
}
