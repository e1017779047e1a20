import { mkdir, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { crc32, deflateSync } from "node:zlib";
import sharp from "sharp";

/** Writes an RGB PNG of one grey tone, with the folders above it. */
export async function writeImage(path: string, height: number, width: number, tone = 100): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const raw = { width, height, channels: 3 } as const;
  await sharp(new Uint8Array(height * width * 3).fill(tone), { raw })
    .png()
    .toFile(path);
}

/** Writes a grey PNG whose pixels are the values, repeated to the end, with the folders above it. */
export async function writeLabel(
  path: string,
  height: number,
  width: number,
  values: readonly number[],
): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const pixels = Uint8Array.from({ length: height * width }, (_, i) => values[i % values.length] ?? 0);
  const raw = { width, height, channels: 1 } as const;
  await sharp(pixels, { raw }).toColourspace("b-w").png().toFile(path);
}

type Color = readonly number[];

/** Writes an RGB PNG whose pixels are the colours, repeated to the end, with the folders above it. */
export async function writeColors(
  path: string,
  height: number,
  width: number,
  colors: readonly Color[],
): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const pixels = Array.from({ length: height * width }, (_, i) => colors[i % colors.length] ?? []);
  const data = Uint8Array.from(pixels.flat());
  await sharp(data, { raw: { width, height, channels: 3 } })
    .png()
    .toFile(path);
}

/** Writes a palette PNG whose pixels are the indices, repeated to the end, with the folders above it. */
export async function writePalette(
  path: string,
  height: number,
  width: number,
  indices: readonly number[],
  palette: readonly Color[],
): Promise<void> {
  const chunk = (type: string, data: Buffer): Buffer => {
    const body = Buffer.concat([Buffer.from(type, "latin1"), data]);
    const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
    length.writeUInt32BE(data.length);
    sum.writeUInt32BE(crc32(body));
    return Buffer.concat([length, body, sum]);
  };
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 3, 0, 0, 0], 8);
  const rows = Array.from({ length: height }, (_, y) => [
    0,
    ...Array.from({ length: width }, (_, x) => indices[(y * width + x) % indices.length] ?? 0),
  ]);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(
    path,
    Buffer.concat([
      Buffer.from("89504e470d0a1a0a", "hex"),
      chunk("IHDR", header),
      chunk("PLTE", Buffer.from(palette.flatMap((color) => [...color]))),
      chunk("IDAT", deflateSync(Buffer.from(rows.flat()))),
      chunk("IEND", Buffer.alloc(0)),
    ]),
  );
}

/** Writes a text file, with the folders above it. */
export async function writeText(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, text);
}
