import { mkdir, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
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

/** Writes a text file, with the folders above it. */
export async function writeText(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, text);
}
