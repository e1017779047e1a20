import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { writeImage } from "../testing/pictures";
import { contactSheet, decodeImage, decodeLabel, resizeIndices } from "./images";

describe("images", () => {
  let folder: string;
  beforeAll(async () => (folder = await mkdtemp(join(tmpdir(), "lathe-images-"))));
  afterAll(() => rm(folder, { recursive: true }));

  it("decodes a PNG byte for byte, and resizes flat colour to flat colour", async () => {
    const rgb = Uint8Array.from({ length: 4 * 6 * 3 }, (_, i) => (i * 37) % 256);
    const path = join(folder, "a.png");
    await sharp(rgb, { raw: { height: 4, width: 6, channels: 3 } })
      .png()
      .toFile(path);
    const decoded = await decodeImage(path, { height: 4, width: 6 });
    expect(decoded).toEqual({ data: rgb, stored: { height: 4, width: 6 }, orientation: 1 });
    await writeImage(path, 4, 6, 90);
    expect((await decodeImage(path, { height: 9, width: 5 })).data).toEqual(new Uint8Array(9 * 5 * 3).fill(90));
  });

  it.each([
    ["grey", 1],
    ["transparent", 4],
  ] as const)("gives three channels for a %s image", async (_name, channels) => {
    const path = join(folder, `${channels}.png`);
    const pixels = new Uint8Array(2 * 2 * channels).fill(128);
    const raw = { width: 2, height: 2, channels };
    await sharp(pixels, { raw })
      .toColourspace(channels === 1 ? "b-w" : "srgb")
      .toFile(path);
    expect((await decodeImage(path, { height: 2, width: 2 })).data).toEqual(new Uint8Array(12).fill(128));
  });

  it("decides by the content of a file, not by its name", async () => {
    const pixels = sharp(new Uint8Array(12).fill(90), { raw: { width: 2, height: 2, channels: 3 } });
    const put = async (name: string, bytes: Buffer | string) => {
      await writeFile(join(folder, name), bytes);
      return join(folder, name);
    };
    const jpeg = await put("jpeg.png", await pixels.clone().jpeg().toBuffer());
    expect((await decodeImage(jpeg, { height: 2, width: 2 })).data).toEqual(new Uint8Array(12).fill(90));
    await expect(decodeLabel(jpeg)).rejects.toThrow("is a JPEG, which alters class indices; must be a PNG or BMP");
    const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="2" height="2"><rect width="2" height="2"/></svg>`;
    for (const [name, bytes] of [
      ["svg.png", svg],
      ["webp.png", await pixels.clone().webp().toBuffer()],
      ["gif.png", await pixels.clone().gif().toBuffer()],
      ["tiff.png", await pixels.clone().tiff().toBuffer()],
    ] as const)
      await expect(decodeImage(await put(name, bytes), { height: 2, width: 2 })).rejects.toMatchObject({
        message: `image ${join(folder, name)} cannot be decoded: is no JPEG, PNG or BMP`,
        reason: "DATASET_INVALID",
      });
    // Not even where it is asked for: the reader itself is blocked.
    await expect(sharp(Buffer.from(svg)).metadata()).rejects.toThrow("unsupported image format");
  });

  it("refuses more pixels than are allowed by the header alone", async () => {
    const path = join(folder, "large.png");
    await sharp({ create: { width: 8192, height: 8193, channels: 3, background: "black" } })
      .png({ compressionLevel: 1 })
      .toFile(path);
    await expect(decodeImage(path, { height: 2, width: 2 })).rejects.toThrow(
      `image ${path} cannot be decoded: has 8192x8193 pixels, must have 1 to 67108864 (8192x8192)`,
    );
  });

  it("resizes labels by the pixel at the centre, without mixing", () => {
    const map = { height: 2, width: 4, data: Uint8Array.of(0, 1, 2, 3, 4, 5, 6, 7) };
    expect([...resizeIndices(map, { height: 1, width: 2 })]).toEqual([5, 7]);
    expect([...resizeIndices(map, { height: 2, width: 8 })]).toEqual([0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7]);
    expect(resizeIndices(map, map)).toEqual(map.data);
  });

  it.each([
    [40, 24],
    [90, 24],
    [40, 100],
    [90, 100],
    [64, 48],
  ])(
    "moves neither an image nor its label when they become %ix%i: an edge stays where it is in both",
    async (height, width) => {
      const stored = { height: 64, width: 48 };
      const [row, column] = [29, 21];
      const label = Uint8Array.from({ length: 64 * 48 }, (_, at) => (at >= row * 48 || at % 48 >= column ? 1 : 0));
      const rgb = Uint8Array.from({ length: 3 * 64 * 48 }, (_, at) => 255 * label[Math.floor(at / 3)]!);
      const path = join(folder, "edges.png");
      await sharp(rgb, { raw: { ...stored, channels: 3 } })
        .png()
        .toFile(path);
      const { data } = await decodeImage(path, { height, width });
      const labels = resizeIndices({ ...stored, data: label }, { height, width });
      // Along the two edges, away from their corner and from the border.
      const at = (y: number, x: number) => [data[3 * (y * width + x)]! > 127 ? 1 : 0, labels[y * width + x]];
      for (let x = 0; x < width / 4; x++)
        for (let y = 0; y < height; y++) expect(at(y, x)).toEqual([at(y, x)[1], at(y, x)[1]]);
      for (let y = 0; y < height / 4; y++)
        for (let x = 0; x < width; x++) expect(at(y, x)).toEqual([at(y, x)[1], at(y, x)[1]]);
    },
  );

  it("draws image, label and enlarged prediction side by side, with ignored pixels in black", async () => {
    const bytes = await contactSheet({
      size: { height: 2, width: 2 },
      image: Uint8Array.from({ length: 12 }, (_, i) => i),
      label: Uint8Array.of(0, 1, 255, 0),
      prediction: { data: Int32Array.of(1), height: 1, width: 1 },
      colors: [
        [10, 20, 30],
        [40, 50, 60],
      ],
    });
    const { data, info } = await sharp(bytes).raw().toBuffer({ resolveWithObject: true });
    expect([info.height, info.width, info.channels]).toEqual([2, 10, 3]);
    const white = [255, 255, 255, 255, 255, 255];
    const top = [0, 1, 2, 3, 4, 5, ...white, 10, 20, 30, 40, 50, 60, ...white, 40, 50, 60, 40, 50, 60];
    const bottom = [6, 7, 8, 9, 10, 11, ...white, 0, 0, 0, 10, 20, 30, ...white, 40, 50, 60, 40, 50, 60];
    expect([...data]).toEqual([...top, ...bottom]);
  });
});
