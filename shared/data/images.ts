import sharp from "sharp";
import { datasetFault, reasonOf } from "./dataset";
import { readBmp } from "./bmp";
import { decodePixels, orientationOf } from "./decode";
import { formatOf } from "./formats";
import { readPng, type IndexMap, type StoredPixels } from "./png";
import { MAX_IMAGE_BYTES, readBytes } from "./reading";
import { resizeImage, type Size } from "./resize";

export type { Size };

export interface DecodedImage {
  /** [height, width, 3] RGB at the requested size. */
  readonly data: Uint8Array;
  /** Size of the file as it is displayed. */
  readonly stored: Size;
  /** EXIF orientation of the file, which has been applied; 1 where it has none. */
  readonly orientation: number;
}

/** The bytes of an image or a label file. DATASET_INVALID names the file. */
export const readFileOf = (kind: "image" | "label", path: string): Promise<Buffer> =>
  readBytes(path, kind, MAX_IMAGE_BYTES);

/**
 * Decodes a JPEG, PNG or BMP, whatever its name, as it is displayed, and resizes it by shared/data/resize.ts; without a size it keeps its own.
 * DATASET_INVALID names the file.
 */
export async function decodeImage(path: string, size?: Size, read?: Buffer): Promise<DecodedImage> {
  const bytes = read ?? (await readFileOf("image", path));
  try {
    const { data, height, width, orientation } = await decodePixels(bytes);
    const stored = { height, width };
    return { data: resizeImage(data, stored, size ?? stored), stored, orientation };
  } catch (error) {
    throw datasetFault(`image ${path} cannot be decoded: ${reasonOf(error)}`, "INVALID_ARGUMENT", error);
  }
}

/** Decodes a label PNG or BMP, whatever its name, as it is stored. DATASET_INVALID names the file. */
export async function decodeLabel(path: string, read?: Buffer): Promise<StoredPixels> {
  const bytes = read ?? (await readFileOf("label", path));
  try {
    const format = formatOf(bytes);
    if (format === "JPEG") throw new Error("is a JPEG, which alters class indices; must be a PNG or BMP");
    if (format === "BMP") return readBmp(bytes);
    const label = await readPng(bytes);
    // The name of the chunk of a PNG that holds EXIF.
    const orientation = bytes.includes("eXIf") ? await orientationOf(bytes) : 1;
    if (orientation === 1) return label;
    throw new Error(`has the EXIF orientation ${orientation}, a label must be stored as its image is displayed`);
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
