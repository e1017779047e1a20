/** Most pixels of an image or label: 8192x8192. */
const MAX_PIXELS = 2 ** 26;

const SIGNATURES = { PNG: "89504e470d0a1a0a", JPEG: "ffd8ff", BMP: "424d" };

type Format = keyof typeof SIGNATURES;

/** Format of an image by its first bytes; undefined for any other than these. */
export function formatOf(bytes: Buffer): Format | undefined {
  const start = bytes.subarray(0, 8).toString("hex");
  return (Object.keys(SIGNATURES) as Format[]).find((format) => start.startsWith(SIGNATURES[format]));
}

/** Throws a plain Error unless the size in a header is within 1 to MAX_PIXELS pixels, before memory for them is taken. */
export function requirePixels(width: number, height: number): void {
  const pixels = width * height;
  if (pixels > 0 && pixels <= MAX_PIXELS) return;
  throw new Error(`has ${width}x${height} pixels, must have 1 to ${MAX_PIXELS} (8192x8192)`);
}
