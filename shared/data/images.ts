import sharp from "sharp";
import { datasetFault, reasonOf } from "./dataset";
import { formatOf, requirePixels } from "./formats";
import { readIndices, type IndexMap } from "./png";
import { MAX_IMAGE_BYTES, readBytes } from "./reading";
import { resizeImage, type Size } from "./resize";

export type { Size };

// Several files are decoded concurrently, so each takes one thread. Decoded images are cached in shared/data/cache.ts.
sharp.concurrency(1);
sharp.cache(false);
// libvips has some thirty readers, among them one that renders SVG, which may name other files. Only these two ever run.
sharp.block({ operation: ["VipsForeignLoad"] });
sharp.unblock({ operation: ["VipsForeignLoadJpegBuffer", "VipsForeignLoadPngBuffer"] });

export interface DecodedImage {
  /** [height, width, 3] RGB at the requested size. */
  readonly data: Uint8Array;
  /** Size of the file. */
  readonly stored: Size;
}

/**
 * Decodes a JPEG or PNG, whatever its name, and resizes it by shared/data/resize.ts; without a size it stays as stored. DATASET_INVALID
 * names the file.
 */
export async function decodeImage(path: string, size?: Size): Promise<DecodedImage> {
  const bytes = await readBytes(path, "image", MAX_IMAGE_BYTES);
  try {
    if (formatOf(bytes) === undefined) throw new Error("is neither a JPEG nor a PNG");
    // The header alone, so without libvips' own limit, whose message has no numbers.
    const { width, height } = await sharp(bytes, { limitInputPixels: false }).metadata();
    requirePixels(width, height);
    const stored = { height, width };
    const data = await sharp(bytes).removeAlpha().toColourspace("srgb").raw({ depth: "uchar" }).toBuffer();
    const rgb = new Uint8Array(data.buffer, data.byteOffset, data.length);
    return { data: resizeImage(rgb, stored, size ?? stored), stored };
  } catch (error) {
    throw datasetFault(`image ${path} cannot be decoded: ${reasonOf(error)}`, "INVALID_ARGUMENT", error);
  }
}

/** Decodes a label PNG, whatever its name, to indices at the file's size. DATASET_INVALID names the file. */
export async function decodeLabel(path: string): Promise<IndexMap> {
  const bytes = await readBytes(path, "label", MAX_IMAGE_BYTES);
  try {
    if (formatOf(bytes) === "JPEG") throw new Error("is a JPEG, which alters class indices; must be a PNG");
    return await readIndices(bytes);
  } catch (error) {
    throw datasetFault(`label ${path} cannot be decoded: ${reasonOf(error)}`, "INVALID_ARGUMENT", error);
  }
}

/** Resizes by nearest neighbour at pixel centres: row y of the output is row floor((y + 1/2) * stored / size). */
export function resizeIndices(map: IndexMap, size: Size): Uint8Array {
  if (map.height === size.height && map.width === size.width) return map.data;
  const out = new Uint8Array(size.height * size.width);
  for (let y = 0; y < size.height; y++) {
    const row = Math.floor(((2 * y + 1) * map.height) / (2 * size.height)) * map.width;
    for (let x = 0; x < size.width; x++) {
      const column = Math.floor(((2 * x + 1) * map.width) / (2 * size.width));
      out[y * size.width + x] = map.data[row + column] ?? 0;
    }
  }
  return out;
}

/** Encodes an RGB image [height, width, 3] as PNG. */
async function encodePng(rgb: Uint8Array, size: Size): Promise<Buffer> {
  return sharp(rgb, { raw: { width: size.width, height: size.height, channels: 3 } })
    .png()
    .toBuffer();
}

interface Sheet {
  readonly size: Size;
  /** [H,W,3] RGB */
  readonly image: Uint8Array;
  /** [H,W] class indices; values without a colour (255 = ignore) become black. */
  readonly label: ArrayLike<number>;
  /** Class indices at any size, such as 1/8 of the image's. */
  readonly prediction: { readonly data: ArrayLike<number>; readonly height: number; readonly width: number };
  readonly colors: readonly (readonly [number, number, number])[];
}

/** Draws image, label and prediction side by side as PNG. The prediction is resized to the image's size by nearest neighbour. */
export async function contactSheet(sheet: Sheet): Promise<Buffer> {
  const { height, width } = sheet.size;
  const gap = 2;
  const total = { height, width: 3 * width + 2 * gap };
  const rgb = new Uint8Array(total.height * total.width * 3).fill(255);
  const prediction = resizeIndices({ ...sheet.prediction, data: Uint8Array.from(sheet.prediction.data) }, sheet.size);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const at = y * width + x;
      const panels = [
        sheet.image.subarray(3 * at, 3 * at + 3),
        sheet.colors[sheet.label[at] ?? 0] ?? [0, 0, 0],
        sheet.colors[prediction[at] ?? 0] ?? [0, 0, 0],
      ];
      panels.forEach((color, panel) => rgb.set(color, 3 * (y * total.width + panel * (width + gap) + x)));
    }
  }
  return encodePng(rgb, total);
}
