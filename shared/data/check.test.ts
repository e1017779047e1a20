import { execFileSync } from "node:child_process";
import { copyFile, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { DatasetSpec } from "../proto/lathe/v1/spec";
import { writeColors, writeImage, writeLabel, writeText } from "../testing/pictures";
import { checkLayout } from "./check";
import { listFiles, openDataset } from "./open";

let folder: string;
const at = (name: string): string => join(folder, name);
const check = async (
  spec: Partial<DatasetSpec> = {},
  progress: (done: number, of: number) => void = () => undefined,
) => {
  const layout = await listFiles({ kind: "folder", path: folder, folder: DatasetSpec.fromPartial(spec) });
  return checkLayout(layout, { ...spec, path: folder }, progress);
};
/** A pair of 8x8; its tone makes the image differ from others. */
async function pair(stem: string, tone: number, values: readonly number[] = [0, 1]): Promise<void> {
  await writeImage(at(stem.replace("#", "images") + ".png"), 8, 8, tone);
  await writeLabel(at(stem.replace("#", "labels") + ".png"), 8, 8, values);
}
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "lathe-check-"));
  await writeText(at("classes.txt"), "sky\nroad\ncar\n");
});
afterEach(() => rm(folder, { recursive: true }));

it("a data set without a fault is counted as it is stored", async () => {
  await pair("train/#/a", 1, [0, 1, 2, 255]);
  await pair("train/#/b", 2, [0]);
  await writeImage(at("train/images/c.png"), 4, 8, 3);
  await writeLabel(at("train/labels/c.png"), 4, 8, [1]);
  await pair("val/#/d", 4, [2, 1]);
  const seen: string[] = [];
  expect(await check({}, (done, of) => seen.push(`${done}/${of}`))).toEqual({
    classes: ["sky", "road", "car"],
    sha256: expect.stringMatching(/^[0-9a-f]{64}$/) as string,
    train: {
      examples: 3,
      pixels: [80, 48, 16],
      images: [2, 2, 1],
      ignoredPixels: 16,
      sizes: [
        ["8x8", 2],
        ["8x4", 1],
      ],
    },
    validation: { examples: 1, pixels: [0, 32, 32], images: [0, 1, 1], ignoredPixels: 0, sizes: [["8x8", 1]] },
    faults: [],
    warnings: ['class "sky" has no validation pixel'],
    notes: [],
  });
  expect(seen).toEqual(["1/4", "2/4", "3/4", "4/4"]);
});

it("images of equal content are told of, within a split and across", async () => {
  for (const [stem, tone] of [
    ["train/#/a", 1],
    ["train/#/b", 1],
    ["train/#/c", 2],
    ["val/#/d", 2],
    ["val/#/e", 3],
  ] as const)
    await pair(stem, tone, [0, 1, 2]);
  expect((await check()).warnings).toEqual([
    `1 training images equal other training images: the first are ${at("train/images/b.png")} and ${at("train/images/a.png")}`,
    `1 validation images equal training images, so the validation mIoU is too good: the first are ${at("val/images/d.png")} and ${at("train/images/c.png")}`,
  ]);
});

it("labels that teach nothing are a fault of no file", async () => {
  for (const stem of ["train/#/a", "val/#/a"]) await pair(stem, 1, [255, 0]);
  const { faults } = await check();
  expect(faults).toEqual([
    { what: expect.stringMatching(/^only class "sky" has training pixels/) as string, files: [] },
  ]);
});

it("faults of twenty kinds in one folder are all found in one pass, each told once with all of its files", async () => {
  const grey = { width: 8, height: 8, channels: 1 } as const;
  const label = () => sharp(new Uint8Array(64), { raw: grey }).toColourspace("b-w");
  const image = sharp({ create: { width: 8, height: 8, channels: 3, background: "red" } });
  let tone = 1;
  /** Spoils the image or the label of a pair of its own. */
  const spoil = async (stem: string, which: "images" | "labels", how: (path: string) => unknown): Promise<void> => {
    await pair(`train/#/${stem}`, tone++);
    const path = at(`train/${which}/${stem}.png`);
    await rm(path);
    await how(path);
  };
  await pair("train/#/good", tone++, [0, 1, 2]);
  await pair("val/#/good", tone++, [0, 1, 2]);
  await spoil("a", "images", (path) => writeFile(path, "text"));
  await spoil("b", "images", (path) => writeFile(path, ""));
  await spoil("c", "images", async (path) => writeFile(path, await image.clone().webp().toBuffer()));
  await spoil("d", "images", async (path) => writeFile(path, (await image.clone().png().toBuffer()).subarray(0, 60)));
  await spoil("e", "images", (path) => symlink(at("nowhere"), path));
  await spoil("f", "images", (path) => execFileSync("mkfifo", [path]));
  await spoil("g", "images", async (path) => {
    const bmp = Buffer.alloc(54);
    bmp.write("BM");
    return writeFile(path, bmp);
  });
  await spoil("h", "labels", (path) => writeFile(path, "text"));
  await spoil("i", "labels", async (path) => writeFile(path, await image.clone().jpeg().toBuffer()));
  await spoil("j", "labels", async (path) => {
    const deep = sharp(new Uint16Array(64), { raw: grey }).toColourspace("grey16").png();
    return writeFile(path, await deep.toBuffer());
  });
  await spoil("k", "labels", async (path) => writeFile(path, await label().png({ progressive: true }).toBuffer()));
  await spoil("l", "labels", async (path) => {
    const bytes = await label().png().toBuffer();
    bytes[45]! ^= 1;
    return writeFile(path, bytes);
  });
  await spoil("m", "labels", (path) => writeLabel(path, 8, 8, [0, 9]));
  await spoil("n", "labels", (path) => writeLabel(path, 8, 8, [7, 0, 0, 0]));
  await spoil("o", "labels", (path) => writeColors(path, 8, 8, [[1, 2, 3]]));
  await spoil("p", "labels", (path) => writeLabel(path, 8, 7, [0]));
  await spoil("q", "labels", async (path) =>
    writeFile(path, await label().png().withMetadata({ orientation: 3 }).toBuffer()),
  );
  await spoil("r", "labels", (path) => symlink(at("nowhere"), path));
  await spoil("s", "labels", async (path) => writeFile(path, (await label().png().toBuffer()).subarray(0, 50)));
  await spoil("t", "labels", () => undefined);
  await spoil("u", "images", () => undefined);
  await spoil("v", "images", async (path) => {
    await writeImage(path, 8, 8, tone++);
    await copyFile(path, path.replace("png", "jpg"));
  });
  await spoil("w", "labels", async (path) => {
    await writeLabel(path, 8, 8, [0]);
    await writeFile(path.replace("png", "bmp"), await readFile(path));
  });
  const { faults, warnings } = await check();
  const told = Object.fromEntries(
    faults.map(({ what, files }) => [what.slice(0, 72), files.map((file) => file.slice(folder.length + 1)).join()]),
  );
  expect(told).toMatchObject({
    "image cannot be decoded: is no JPEG, PNG or BMP": "train/images/a.png,train/images/b.png,train/images/c.png",
    "image does not exist": "train/images/e.png",
    "image is a FIFO, must be a regular file": "train/images/f.png",
    "label cannot be decoded: is not a PNG": "train/labels/h.png",
    "label cannot be decoded: is a JPEG, which alters class indices; must be ": "train/labels/i.png",
    "label cannot be decoded: is an interlaced PNG, a label map must not be i": "train/labels/k.png",
    "label has the unknown value 9 at x 1, y 0 (32 pixels): known are 0 to 2,": "train/labels/m.png,train/labels/n.png",
    "label is 7x8, its image is 8x8: sizes must be equal": "train/labels/p.png",
    "label does not exist": "train/labels/r.png",
    "images without a label": "train/images/t.png",
    "labels without an image": "train/labels/u.png",
    "names of two images": "train/images/v.jpg",
    "names of two labels": "train/labels/w.bmp",
  });
  expect(faults.length).toBe(20);
  // Labels that were not read say nothing about their classes.
  expect(warnings).toEqual([]);
});

it("prints the fingerprint that a training of the same spec records, also of a part of the files", async () => {
  for (const name of ["a", "b", "c", "d"]) await pair(`train/#/${name}`, name.charCodeAt(0), [0, 1, 2]);
  await pair("val/#/e", 4, [2, 1]);
  const recorded = async (trainExamples?: number): Promise<string> => {
    const some = trainExamples === undefined ? {} : { trainExamples };
    const dataset = await openDataset({ kind: "folder", path: folder, height: 8, width: 8, seed: 1, ...some });
    const { sha256 } = await dataset.figures();
    await dataset.close();
    return sha256;
  };
  const whole = (await check()).sha256;
  const half = (await check({ trainExamples: 2 })).sha256;
  expect([whole, half]).toEqual([await recorded(), await recorded(2)]);
  expect(half).not.toBe(whole);
  const more = await check({ trainExamples: 5 });
  expect(more.sha256).toBeUndefined();
  expect(more.faults).toMatchObject([{ what: `split train of ${folder} has 4 examples, 5 were asked for`, files: [] }]);
});
