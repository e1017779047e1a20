import { requirePixels } from "./formats";
import type { StoredPixels } from "./png";

/** Compressions of the header: none, and masks that say which bits of a pixel are which colour. */
const PLAIN = 0;
const MASKED = 3;
/** The masks of blue, green, red in the order of bytes, which 24 bits without masks have too. */
const BGR = [0xff0000, 0xff00, 0xff];

/**
 * Reads an uncompressed BMP of 1, 4, 8, 24 or 32 bits as it is stored: indices with their palette, or colours without alpha. libvips as it
 * is built for sharp has no reader for it. Throws a plain Error with the fault.
 */
export function readBmp(bytes: Buffer): StoredPixels {
  if (bytes.length < 54) throw new Error(`ends early, after ${bytes.length} bytes`);
  const from = bytes.readUInt32LE(10);
  const headerBytes = bytes.readUInt32LE(14);
  if (headerBytes < 40) throw new Error(`is a BMP with a header of ${headerBytes} bytes, must have at least 40`);
  const width = bytes.readInt32LE(18);
  // Rows go from bottom to top, unless the height is negative.
  const stored = bytes.readInt32LE(22);
  const height = Math.abs(stored);
  const depth = bytes.readUInt16LE(28);
  const compression = bytes.readUInt32LE(30);
  if (width < 0) throw new Error(`has a width of ${width}`);
  requirePixels(width, height);
  if (![1, 4, 8, 24, 32].includes(depth)) throw new Error(`is a BMP of ${depth} bits, must have 1, 4, 8, 24 or 32`);
  const masks =
    compression === MASKED && depth === 32 && bytes.length >= 66
      ? BGR.map((_, at) => bytes.readUInt32LE(54 + 4 * at))
      : BGR;
  if ((compression !== PLAIN && (compression !== MASKED || depth !== 32)) || masks.some((mask, at) => mask !== BGR[at]))
    throw new Error(`is a BMP of compression ${compression}, must be uncompressed`);
  const rowBytes = 4 * Math.ceil((width * depth) / 32);
  if (from + height * rowBytes > bytes.length) throw new Error(`ends early, after ${bytes.length} bytes`);
  const rowAt = (y: number): number => from + (stored < 0 ? y : height - 1 - y) * rowBytes;
  if (depth > 8) return { height, width, channels: 3, data: colours(bytes, { height, width }, depth / 8, rowAt) };
  const data = new Uint8Array(height * width);
  const mask = (1 << depth) - 1;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const bit = x * depth;
      data[y * width + x] = (bytes[rowAt(y) + (bit >> 3)]! >> (8 - depth - (bit & 7))) & mask;
    }
  }
  return { height, width, channels: 1, data, palette: paletteOf(bytes, 14 + headerBytes, depth) };
}

function colours(
  bytes: Buffer,
  { height, width }: { height: number; width: number },
  step: number,
  rowAt: (y: number) => number,
): Uint8Array {
  const data = new Uint8Array(height * width * 3);
  let to = 0;
  for (let y = 0; y < height; y++) {
    let at = rowAt(y);
    for (let x = 0; x < width; x++, at += step) {
      data[to++] = bytes[at + 2]!;
      data[to++] = bytes[at + 1]!;
      data[to++] = bytes[at]!;
    }
  }
  return data;
}

/** Red, green and blue of each index; the file has them as blue, green, red, 0. */
function paletteOf(bytes: Buffer, at: number, depth: number): Uint8Array {
  const entries = bytes.readUInt32LE(46) || 2 ** depth;
  if (entries > 256 || at + 4 * entries > bytes.length)
    throw new Error(`has a palette of ${entries} colours, must have at most 256`);
  return Uint8Array.from({ length: 3 * entries }, (_, i) => bytes[at + 4 * Math.floor(i / 3) + 2 - (i % 3)]!);
}
