import sharp from "sharp";
import { readBmp } from "./bmp";
import { formatOf, requirePixels } from "./formats";
import { withColors } from "./png";

// Several files are decoded concurrently, so each takes one thread. Decoded images are cached in shared/data/cache.ts.
sharp.concurrency(1);
sharp.cache(false);
// libvips has some thirty readers, among them one that renders SVG, which may name other files. Only these two ever run.
sharp.block({ operation: ["VipsForeignLoad"] });
sharp.unblock({ operation: ["VipsForeignLoadJpegBuffer", "VipsForeignLoadPngBuffer"] });

/** Names the program that decodes images, with its versions and processor: another one may round otherwise. */
export const DECODER = JSON.stringify([process.arch, sharp.versions]);

/** An image as it is displayed: [height, width, 3] RGB. */
interface Pixels {
  readonly data: Uint8Array;
  readonly height: number;
  readonly width: number;
  /** EXIF orientation of the file, which has been applied; 1 where it has none. */
  readonly orientation: number;
}

/** Decodes a JPEG, PNG or BMP by its content, and turns it as its EXIF orientation says. Throws a plain Error with the fault. */
export async function decodePixels(bytes: Buffer): Promise<Pixels> {
  const format = formatOf(bytes);
  if (format === undefined) throw new Error("is no JPEG, PNG or BMP");
  if (format === "BMP") {
    const stored = readBmp(bytes);
    return { data: withColors(stored), height: stored.height, width: stored.width, orientation: 1 };
  }
  // The header alone, so without libvips' own limit, whose message has no numbers.
  const { width, height, orientation = 1 } = await sharp(bytes, { limitInputPixels: false }).metadata();
  requirePixels(width, height);
  const { data, info } = await sharp(bytes, { autoOrient: true })
    .removeAlpha()
    .toColourspace("srgb")
    .raw({ depth: "uchar" })
    .toBuffer({ resolveWithObject: true });
  return {
    data: new Uint8Array(data.buffer, data.byteOffset, data.length),
    height: info.height,
    width: info.width,
    orientation,
  };
}

/** The EXIF orientation of a JPEG or PNG; 1 where it has none. */
export async function orientationOf(bytes: Buffer): Promise<number> {
  return (await sharp(bytes, { limitInputPixels: false }).metadata()).orientation ?? 1;
}
