import type { ImageSize } from "../proto/lathe/v1/result";
import type { Size } from "./resize";

/** Sizes that are named. */
const MOST_SIZES = 8;

/** The most frequent of some sizes with their numbers, as sizesOf. */
export const frequentSizes = (sizes: readonly Size[]): ImageSize[] => sizesOf(sizes).slice(0, MOST_SIZES);

/** Sizes with their numbers, the most frequent first. */
export function sizesOf(sizes: readonly Size[]): ImageSize[] {
  const found = new Map<string, ImageSize>();
  for (const { height, width } of sizes) {
    const key = `${width}x${height}`;
    const known = found.get(key);
    found.set(key, { height, width, images: (known?.images ?? 0) + 1 });
  }
  const order = (one: ImageSize, other: ImageSize): number =>
    other.images - one.images || one.width - other.width || one.height - other.height;
  return [...found.values()].sort(order);
}
