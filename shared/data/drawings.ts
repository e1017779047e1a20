import sharp from "sharp";
import type { Size } from "./images";
import { resizeIndices } from "./images";
import type { IndexMap } from "./png";

type Color = readonly [number, number, number];

/** Distinct colours for classes that have none: hues at the golden angle, which keeps the first few far apart. */
export function palette(count: number): Color[] {
  return Array.from({ length: count }, (_, index) => {
    const hue = (index * 137.508) % 360;
    const part = (shift: number) => {
      const place = (shift + hue / 30) % 12;
      return Math.round(255 * (0.55 - 0.4 * Math.max(-1, Math.min(place - 3, 9 - place, 1))));
    };
    return [part(0), part(8), part(4)] as const;
  });
}

interface Drawings {
  /** Class indices as a grey PNG: a pixel is its class. */
  readonly classes: Buffer;
  /** The same in the colours of the classes. */
  readonly colors: Buffer;
  /** The image with the colours laid over it by half. */
  readonly overlay: Buffer;
}

/** Draws a class map over its image [H,W,3] at the image's size; values without a colour are black. */
export async function drawPrediction(
  rgb: Uint8Array,
  size: Size,
  map: IndexMap,
  colors: readonly Color[],
): Promise<Drawings> {
  const { height, width } = size;
  const classes = resizeIndices(map, size);
  const colored = new Uint8Array(3 * height * width);
  classes.forEach((value, at) => colored.set(colors[value] ?? [0, 0, 0], 3 * at));
  const mixed = colored.map((value, at) => (value + rgb[at]!) >> 1);
  const png = (pixels: Uint8Array, channels: 1 | 3) => sharp(pixels, { raw: { height, width, channels } });
  return {
    classes: await png(classes, 1).toColourspace("b-w").png().toBuffer(),
    colors: await png(colored, 3).png().toBuffer(),
    overlay: await png(mixed, 3).png().toBuffer(),
  };
}
