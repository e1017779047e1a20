import { crc32, inflate, type ZlibOptions } from "node:zlib";
import { promisify } from "node:util";
import { formatOf, requirePixels } from "./formats";

const GREY = 0;
const PALETTE = 3;
/** Writers make chunks of 8 KiB or more; each costs some memory of its own. */
const MAX_CHUNKS = 2 ** 16;

/** A stored label map: one index per pixel, [height, width]. */
export interface IndexMap {
  readonly data: Uint8Array;
  readonly height: number;
  readonly width: number;
}

/**
 * Reads a single-channel PNG (grey or palette, 1 to 8 bits, not interlaced) as indices. libvips cannot: it converts palettes to colours and
 * scales greys of 1, 2 and 4 bits to 0..255. Throws a plain Error with the fault.
 */
export async function readIndices(bytes: Buffer): Promise<IndexMap> {
  const chunks = readChunks(bytes);
  const header = chunks.find((chunk) => chunk.type === "IHDR")?.data;
  if (header?.length !== 13) throw new Error("has no PNG header");
  const width = header.readUInt32BE(0);
  const height = header.readUInt32BE(4);
  const depth = header.readUInt8(8);
  const colorType = header.readUInt8(9);
  if ((colorType !== GREY && colorType !== PALETTE) || depth > 8) {
    const kind = colorType === GREY || colorType === PALETTE ? "one channel" : `colour type ${colorType}`;
    throw new Error(`is a PNG of ${kind} with ${depth} bits, a label map must be grey or palette with at most 8 bits`);
  }
  if (header.readUInt8(12) !== 0) throw new Error("is an interlaced PNG, a label map must not be interlaced");
  if (![1, 2, 4, 8].includes(depth)) throw new Error(`is a PNG with ${depth} bits, must have 1, 2, 4 or 8`);
  requirePixels(width, height);
  const packed = Buffer.concat(chunks.filter((chunk) => chunk.type === "IDAT").map((chunk) => chunk.data));
  const rowBytes = Math.ceil((width * depth) / 8);
  const expected = height * (rowBytes + 1);
  const rows = await inflateAtMost(packed, expected);
  if (rows?.length !== expected) {
    const holds = rows ? `${rows.length}` : `more than ${expected}`;
    throw new Error(`holds ${holds} bytes of pixels, ${expected} expected for ${width}x${height}`);
  }
  unfilter(rows, height, rowBytes);
  return { data: unpack(rows, height, width, depth), height, width };
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

/** Reverses the row filters of the PNG specification, in place. A pixel has at most one byte, so "left" is the byte before. */
function unfilter(rows: Buffer, height: number, rowBytes: number): void {
  for (let y = 0; y < height; y++) {
    const at = y * (rowBytes + 1) + 1;
    const above = at - rowBytes - 1;
    const filter = rows[at - 1] ?? 0;
    if (filter > 4) throw new Error(`has row filter ${filter} in row ${y}, must be at most 4`);
    if (filter === 0) continue;
    let left = 0;
    let corner = 0;
    for (let x = 0; x < rowBytes; x++) {
      const up = y > 0 ? rows[above + x]! : 0;
      left = (rows[at + x]! + predict(filter, left, up, corner)) & 0xff;
      rows[at + x] = left;
      corner = up;
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
