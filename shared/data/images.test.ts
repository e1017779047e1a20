import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { writeImage } from "../testing/pictures";
import { contactSheet, decodeImage, resizeIndices } from "./images";

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
    expect(decoded).toEqual({ data: rgb, stored: { height: 4, width: 6 } });
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

  it("resizes labels by the pixel at the centre, without mixing", () => {
    const map = { height: 2, width: 4, data: Uint8Array.of(0, 1, 2, 3, 4, 5, 6, 7) };
    expect([...resizeIndices(map, { height: 1, width: 2 })]).toEqual([5, 7]);
    expect([...resizeIndices(map, { height: 2, width: 8 })]).toEqual([0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7]);
    expect(resizeIndices(map, map)).toEqual(map.data);
  });

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
