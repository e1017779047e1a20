import { crc32, inflate, type ZlibOptions } from "node:zlib";
import { promisify } from "node:util";
import { formatOf, requirePixels } from "./formats";

/** Channels of each colour type of a PNG. */
const CHANNELS: Readonly<Record<number, number>> = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };
const PALETTE = 3;
/** Writers make chunks of 8 KiB or more; each costs some memory of its own. */
const MAX_CHUNKS = 2 ** 16;

/** One index per pixel, [height, width]. */
export interface IndexMap {
  readonly data: Uint8Array;
  readonly height: number;
  readonly width: number;
}

/** Pixels as a file stores them, [height, width, channels]: a value or an index of the palette, or red, green and blue. */
export interface StoredPixels extends IndexMap {
  readonly channels: 1 | 3;
  /** Red, green and blue of each index. */
  readonly palette?: Uint8Array;
}

/** The colours of stored pixels, [height, width, 3]. An index without an entry of the palette is black. */
export function withColors({ data, channels, palette }: StoredPixels): Uint8Array {
  if (channels === 3) return data;
  const colors = new Uint8Array(3 * data.length);
  for (let at = 0; at < data.length; at++)
    for (let channel = 0; channel < 3; channel++)
      colors[3 * at + channel] = palette ? (palette[3 * data[at]! + channel] ?? 0) : data[at]!;
  return colors;
}

/**
 * Reads a PNG (1 to 8 bits a channel, not interlaced) as it is stored, without its alpha channel. libvips cannot: it converts palettes to
 * colours and scales greys of 1, 2 and 4 bits to 0..255. Throws a plain Error with the fault.
 */
export async function readPng(bytes: Buffer): Promise<StoredPixels> {
  const chunks = readChunks(bytes);
  const header = chunks.find((chunk) => chunk.type === "IHDR")?.data;
  if (header?.length !== 13) throw new Error("has no PNG header");
  const width = header.readUInt32BE(0);
  const height = header.readUInt32BE(4);
  const depth = header.readUInt8(8);
  const colorType = header.readUInt8(9);
  const channels = CHANNELS[colorType];
  if (channels === undefined) throw new Error(`is a PNG of colour type ${colorType}, which does not exist`);
  if (depth > 8) throw new Error(`is a PNG of ${depth} bits a channel, a label map must have at most 8`);
  if (header.readUInt8(12) !== 0) throw new Error("is an interlaced PNG, a label map must not be interlaced");
  if (!(channels === 1 ? [1, 2, 4, 8] : [8]).includes(depth))
    throw new Error(`is a PNG of colour type ${colorType} with ${depth} bits a channel, which does not exist`);
  requirePixels(width, height);
  const packed = Buffer.concat(chunks.filter((chunk) => chunk.type === "IDAT").map((chunk) => chunk.data));
  const rowBytes = Math.ceil((width * channels * depth) / 8);
  const expected = height * (rowBytes + 1);
  const rows = await inflateAtMost(packed, expected);
  if (rows?.length !== expected) {
    const holds = rows ? `${rows.length}` : `more than ${expected}`;
    throw new Error(`holds ${holds} bytes of pixels, ${expected} expected for ${width}x${height}`);
  }
  unfilter(rows, height, rowBytes, channels);
  const palette = colorType === PALETTE ? chunks.find((chunk) => chunk.type === "PLTE")?.data : undefined;
  const size = { height, width, ...(palette && { palette: Uint8Array.from(palette) }) };
  if (channels === 1) return { ...size, data: unpack(rows, height, width, depth), channels };
  const kept = channels < 3 ? 1 : 3;
  return { ...size, data: withoutAlpha(rows, { height, width }, channels, kept), channels: kept };
}

/** The inflated bytes; undefined as soon as there are more than `limit`: a small file could inflate to more than the memory. */
async function inflateAtMost(packed: Buffer, limit: number): Promise<Buffer | undefined> {
  try {
    return await promisify<Buffer, ZlibOptions, Buffer>(inflate)(packed, { maxOutputLength: limit });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE") return undefined;
    throw error;
  }
}

function readChunks(bytes: Buffer): { type: string; data: Buffer }[] {
  if (formatOf(bytes) !== "PNG") throw new Error("is not a PNG");
  const chunks: { type: string; data: Buffer }[] = [];
  for (let at = 8; chunks.at(-1)?.type !== "IEND";) {
    const length = at + 12 <= bytes.length ? bytes.readUInt32BE(at) : Infinity;
    if (at + 12 + length > bytes.length) throw new Error(`ends early, after ${bytes.length} bytes`);
    if (chunks.length === MAX_CHUNKS) throw new Error(`has more than ${MAX_CHUNKS} chunks`);
    const type = bytes.toString("latin1", at + 4, at + 8);
    if (crc32(bytes.subarray(at + 4, at + 8 + length)) !== bytes.readUInt32BE(at + 8 + length)) {
      throw new Error(`has a damaged ${type} chunk (checksum differs)`);
    }
    chunks.push({ type, data: bytes.subarray(at + 8, at + 8 + length) });
    at += 12 + length;
  }
  return chunks;
}

/** Reverses the row filters of the PNG specification, in place. "Left" is the byte of the same channel in the pixel before. */
function unfilter(rows: Buffer, height: number, rowBytes: number, channels: number): void {
  for (let y = 0; y < height; y++) {
    const at = y * (rowBytes + 1) + 1;
    const above = at - rowBytes - 1;
    const filter = rows[at - 1] ?? 0;
    if (filter > 4) throw new Error(`has row filter ${filter} in row ${y}, must be at most 4`);
    if (filter === 0) continue;
    for (let x = 0; x < rowBytes; x++) {
      const inner = x >= channels;
      const left = inner ? rows[at + x - channels]! : 0;
      const up = y > 0 ? rows[above + x]! : 0;
      const corner = inner && y > 0 ? rows[above + x - channels]! : 0;
      rows[at + x] = (rows[at + x]! + predict(filter, left, up, corner)) & 0xff;
    }
  }
}

function predict(filter: number, left: number, up: number, corner: number): number {
  if (filter === 1) return left;
  if (filter === 2) return up;
  if (filter === 3) return (left + up) >> 1;
  const toLeft = Math.abs(up - corner);
  const toUp = Math.abs(left - corner);
  const toCorner = Math.abs(left + up - 2 * corner);
  if (toLeft <= toUp && toLeft <= toCorner) return left;
  return toUp <= toCorner ? up : corner;
}

function unpack(rows: Buffer, height: number, width: number, depth: number): Uint8Array {
  const rowBytes = Math.ceil((width * depth) / 8);
  const data = new Uint8Array(height * width);
  const mask = (1 << depth) - 1;
  for (let y = 0; y < height; y++) {
    const at = y * (rowBytes + 1) + 1;
    if (depth === 8) {
      data.set(rows.subarray(at, at + width), y * width);
      continue;
    }
    for (let x = 0; x < width; x++) {
      const bit = x * depth;
      data[y * width + x] = ((rows[at + (bit >> 3)] ?? 0) >> (8 - depth - (bit & 7))) & mask;
    }
  }
  return data;
}

/** Drops the last of 2 or 4 channels, and the filter byte of each row. */
function withoutAlpha(
  rows: Buffer,
  { height, width }: Omit<IndexMap, "data">,
  channels: number,
  kept: number,
): Uint8Array {
  const data = new Uint8Array(height * width * kept);
  let to = 0;
  for (let y = 0; y < height; y++) {
    const at = y * (width * channels + 1) + 1;
    for (let x = 0; x < width; x++)
      for (let channel = 0; channel < kept; channel++) data[to++] = rows[at + x * channels + channel]!;
  }
  return data;
}
