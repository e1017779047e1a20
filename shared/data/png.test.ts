import { crc32, deflateSync } from "node:zlib";
import sharp from "sharp";
import { readPng, withColors } from "./png";

function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, "latin1"), data]);
  const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(data.length);
  sum.writeUInt32BE(crc32(body));
  return Buffer.concat([length, body, sum]);
}

/** Writes a PNG from filtered rows, by the specification. */
function png(width: number, height: number, depth: number, colorType: number, rows: number[], interlace = 0): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([depth, colorType, 0, 0, interlace], 8);
  const palette = colorType === 3 ? [chunk("PLTE", Buffer.alloc(3 * 2 ** depth))] : [];
  const pixels = chunk("IDAT", deflateSync(Buffer.from(rows)));
  const signature = Buffer.from("89504e470d0a1a0a", "hex");
  return Buffer.concat([signature, chunk("IHDR", header), ...palette, pixels, chunk("IEND", Buffer.alloc(0))]);
}

describe("readPng", () => {
  it("reads PNGs of libvips, whatever row filters they use", async () => {
    const [width, height] = [53, 31];
    const data = Uint8Array.from({ length: width * height }, (_, i) => ((i * i) >> 5) % 20);
    const image = sharp(data, { raw: { width, height, channels: 1 } }).toColourspace("b-w");
    const bytes = await image.png({ adaptiveFiltering: true, compressionLevel: 9 }).toBuffer();
    expect(bytes[25]).toBe(0);
    expect(await readPng(bytes)).toEqual({ data, width, height, channels: 1 });
  });

  it("reverses each of the five filters", async () => {
    // Each row decodes to 10, 20, 30 above and left as the specification computes it.
    const rows = [
      [0, 10, 20, 30],
      [1, 10, 10, 10], // sub
      [2, 0, 0, 0], // up
      [3, 5, 5, 5], // average: 5 + (0 + 10 >> 1) = 10; 5 + (10 + 20 >> 1) = 20; 5 + (20 + 30 >> 1) = 30
      [4, 0, 10, 10], // paeth: predicts 10 (up); min distance of (10,20,10) at p=20 -> up 20, so 30; p=30+30-20=40 -> left 30, so 40
    ];
    const { data } = await readPng(png(3, 5, 8, 0, rows.flat()));
    expect([...data]).toEqual([10, 20, 30, 10, 20, 30, 10, 20, 30, 10, 20, 30, 10, 30, 40]);
  });

  it.each([
    ["palette of 8 bits, all entries of one colour", png(2, 1, 8, 3, [0, 7, 255]), [7, 255]],
    ["palette of 4 bits", png(3, 1, 4, 3, [0, 0x1f, 0x20]), [1, 15, 2]],
    ["grey of 2 bits, not stretched", png(3, 1, 2, 0, [0, 0b01101100]), [1, 2, 3]],
    ["grey of 1 bit", png(9, 1, 1, 0, [0, 0b10100000, 0b10000000]), [1, 0, 1, 0, 0, 0, 0, 0, 1]],
  ])("reads a %s as indices", async (_name, bytes, indices) => {
    expect([...(await readPng(bytes)).data]).toEqual(indices);
  });

  it("reads colours of libvips, whatever row filters they use, and drops an alpha channel", async () => {
    const [width, height] = [29, 17];
    for (const [stored, channels] of [
      [2, 1],
      [3, 3],
      [4, 3],
    ] as const) {
      const data = Uint8Array.from({ length: width * height * stored }, (_, i) => ((i * i) >> 3) % 251);
      const space = stored === 2 ? "b-w" : "srgb";
      const image = sharp(data, { raw: { width, height, channels: stored } }).toColourspace(space);
      const bytes = await image.png({ adaptiveFiltering: true }).toBuffer();
      const kept = data.filter((_, i) => i % stored < channels);
      expect(await readPng(bytes)).toEqual({ data: kept, width, height, channels });
    }
  });

  it("gives the palette, by which indices become colours", async () => {
    const stored = { data: Uint8Array.of(1, 0, 3), height: 1, width: 3, channels: 1 as const };
    expect([...withColors({ ...stored, palette: Uint8Array.of(1, 2, 3, 4, 5, 6) })]).toEqual([
      4, 5, 6, 1, 2, 3, 0, 0, 0,
    ]);
    expect([...withColors(stored)]).toEqual([1, 1, 1, 0, 0, 0, 3, 3, 3]);
    expect((await readPng(png(2, 1, 8, 3, [0, 7, 255]))).palette?.length).toBe(768);
  });

  const whole = png(2, 2, 8, 0, [0, 1, 2, 0, 3, 4]);
  const scattered = Buffer.concat([
    whole.subarray(0, 33),
    ...new Array<Buffer>(2 ** 16).fill(chunk("IDAT", Buffer.alloc(0))),
    whole.subarray(33),
  ]);
  const damaged = Buffer.from(whole);
  damaged[45]! ^= 1;
  it.each([
    ["another format", Buffer.from("GIF89a, not a PNG"), "is not a PNG"],
    ["a cut file", whole.subarray(0, whole.length - 20), "ends early"],
    ["a damaged chunk", damaged, "damaged IDAT chunk"],
    ["another kind of colours", png(1, 1, 8, 5, [0, 1, 2, 3]), "colour type 5, which does not exist"],
    ["16 bits", png(1, 1, 16, 0, [0, 1, 2]), "of 16 bits a channel, a label map must have at most 8"],
    ["colours of 4 bits", png(1, 1, 4, 2, [0, 1, 2]), "colour type 2 with 4 bits a channel"],
    ["interlacing", png(1, 1, 8, 0, [0, 1], 1), "interlaced"],
    ["too few pixels", png(2, 2, 8, 0, [0, 1, 2]), "holds 3 bytes of pixels, 6 expected"],
    [
      "more pixels than the header says",
      png(128, 64, 8, 0, new Array<number>(2 ** 18).fill(0)),
      "holds more than 8256 bytes",
    ],
    [
      "more pixels than are allowed",
      png(8192, 8193, 8, 0, []),
      "has 8192x8193 pixels, must have 1 to 67108864 (8192x8192)",
    ],
    ["no pixels", png(0, 4, 8, 0, []), "has 0x4 pixels"],
    ["3 bits", png(1, 1, 3, 0, [0, 1]), "colour type 0 with 3 bits a channel"],
    ["more chunks than memory is for", scattered, "has more than 65536 chunks"],
    ["an unknown filter", png(1, 1, 8, 0, [5, 1]), "row filter 5 in row 0"],
  ])("refuses %s", async (_name, bytes, message) => {
    await expect(readPng(bytes)).rejects.toThrow(message);
  });
});
