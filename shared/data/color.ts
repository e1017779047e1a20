import type { ColorFactors } from "./dataset";

/** Shares of red, green and blue in a grey value, those of ITU-R BT.601. */
const GREY = [0.299, 0.587, 0.114] as const;

/**
 * Changes the colours of an image [H,W,3] of bytes, as a new image. Brightness multiplies all values, then contrast their distance from the
 * mean grey of the image, then saturation their distance from the grey of the pixel. Values are rounded and clamped to bytes once, at the end.
 */
export function changeColors(image: Uint8Array, { brightness, contrast, saturation }: ColorFactors): Uint8Array {
  const out = new Uint8ClampedArray(image.length);
  const [r, g, b] = GREY;
  let sum = 0;
  for (let at = 0; at < image.length; at += 3) sum += r * image[at]! + g * image[at + 1]! + b * image[at + 2]!;
  const mean = (brightness * sum) / (image.length / 3);
  const factor = brightness * contrast;
  const offset = (1 - contrast) * mean;
  for (let at = 0; at < image.length; at += 3) {
    const red = factor * image[at]! + offset;
    const green = factor * image[at + 1]! + offset;
    const blue = factor * image[at + 2]! + offset;
    const grey = (1 - saturation) * (r * red + g * green + b * blue);
    out[at] = saturation * red + grey;
    out[at + 1] = saturation * green + grey;
    out[at + 2] = saturation * blue + grey;
  }
  return new Uint8Array(out.buffer);
}
