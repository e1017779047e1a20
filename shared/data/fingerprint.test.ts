import { createHash } from "node:crypto";
import { mkdtemp, readFile, rename, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatasetSpec } from "../proto/lathe/v1/spec";
import type { DatasetFigures } from "../proto/lathe/v1/result";
import { writeImage, writeLabel, writeText } from "../testing/pictures";
import { changeOf, validationChange } from "./change";
import { identityOf } from "./identity";
import { openDataset, type Dataset } from "./open";

let root: string;
let folder: string;
const opened: Dataset[] = [];
const open = async (change: Partial<Parameters<typeof openDataset>[0]> = {}): Promise<Dataset> => {
  const dataset = await openDataset({ kind: "folder", path: folder, height: 8, width: 8, seed: 1, ...change });
  opened.push(dataset);
  return dataset;
};
const figures = async (change: Parameters<typeof open>[0] = {}): Promise<DatasetFigures> =>
  (await open(change)).figures();
const hex = (content: string | Uint8Array) => createHash("sha256").update(content).digest("hex");

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "lathe-fingerprint-"));
  folder = join(root, "data");
  await writeText(join(folder, "classes.txt"), "sky\nroad 128 0 0\n");
  for (const [name, height] of [
    ["train/#/a", 8],
    ["train/#/b", 8],
    ["train/#/c", 4],
    ["val/#/d", 8],
  ] as const) {
    await writeImage(join(folder, `${name.replace("#", "images")}.png`), height, 8, name.charCodeAt(8));
    await writeLabel(join(folder, `${name.replace("#", "labels")}.png`), height, 8, [0, 1, 255, 1]);
  }
});
afterEach(async () => {
  await Promise.all(opened.splice(0).map((dataset) => dataset.close()));
  await rm(root, { recursive: true });
});

it("is a digest of names, contents and coding that a few lines compute again", async () => {
  const read = await figures();
  const split = async (names: string[]) => {
    let text = "";
    for (const name of names) {
      const files = ["images", "labels"].map((kind) => name.replace("#", kind));
      const contents = await Promise.all(files.map(async (file) => hex(await readFile(join(folder, file)))));
      text += `${JSON.stringify(files)} ${contents.join(" ")}\n`;
    }
    return hex(text);
  };
  const train = await split(["train/#/a.png", "train/#/b.png", "train/#/c.png"]);
  const validation = await split(["val/#/d.png"]);
  expect([read.train?.sha256, read.validation?.sha256]).toEqual([train, validation]);
  // Values 0 and 1 are the classes, 255 is ignored, all others are unknown.
  const values = Array.from({ length: 256 }, (_, value) => (value < 2 ? value : value === 255 ? 255 : -1));
  expect(hex(JSON.stringify([["sky", "road"], values, null]))).toBe(read.codingSha256);
  expect(hex(`${read.codingSha256}\n${train}\n${validation}\n`)).toBe(read.sha256);
});

it("counts the pixels of both splits at the size of the data set, and the sizes of the files", async () => {
  expect(await figures()).toMatchObject({
    classes: ["sky", "road"],
    // Three labels of 64 pixels: a quarter is sky, half is road, a quarter is ignored.
    train: {
      examples: 3,
      pixels: [48, 96],
      ignoredPixels: 48,
      sizes: [
        { width: 8, height: 8, images: 2 },
        { width: 8, height: 4, images: 1 },
      ],
    },
    validation: { examples: 1, pixels: [16, 32], ignoredPixels: 16, sizes: [{ width: 8, height: 8, images: 1 }] },
  });
});

it("does not depend on where the folder lies, the size of the data set or the memory for decoded files", async () => {
  const { sha256 } = await figures();
  await rename(folder, join(root, "elsewhere"));
  const path = join(root, "elsewhere");
  const [moved, small] = [await figures({ path }), await figures({ path, height: 16, cacheBytes: 0 })];
  expect([moved.sha256, small.sha256]).toEqual([sha256, sha256]);
});

it("names what changed: contents, names, numbers and the meaning of labels", async () => {
  const before = await figures();
  expect(await changeOf(before, await open())).toBeUndefined();
  expect(await changeOf(undefined, await open())).toBeUndefined();
  await writeLabel(join(folder, "train/labels/b.png"), 8, 8, [1, 0]);
  await rename(join(folder, "train/images/c.png"), join(folder, "train/images/x.png"));
  await rename(join(folder, "train/labels/c.png"), join(folder, "train/labels/x.png"));
  const now = await figures();
  const prints = `(fingerprint ${before.sha256.slice(0, 12)}, now ${now.sha256.slice(0, 12)})`;
  expect(await changeOf(before, await open())).toBe(
    `the data is not that of the first epoch ${prints}: training split: examples changed 1 (b.png), added 1 (x.png), removed 1`,
  );
  const spec = DatasetSpec.fromPartial({ ignoreValues: [7] });
  expect(await changeOf(now, await open({ folder: spec }))).toMatch(
    /\): the classes of the labels' values and colours changed$/,
  );
  // A split that is too large for digests by example.
  const whole = { ...before, train: { ...before.train!, files: "" } };
  expect(await changeOf(whole, await open())).toMatch(
    /: training split: 3 examples, now 3, with other names or contents$/,
  );
});

it("is that of seed and numbers where scenes are generated", async () => {
  const scenes = { kind: "streets", height: 16, width: 16, trainExamples: 3, validationExamples: 2 } as const;
  const read = await figures({ ...scenes });
  expect(read.train).toMatchObject({ examples: 3, sizes: [], files: "" });
  const { pixels, ignoredPixels } = read.train!;
  expect([...pixels, ignoredPixels].reduce((sum, count) => sum + count, 0)).toBe(3 * 16 * 16);
  expect((await figures({ ...scenes, height: 32 })).sha256).toBe(read.sha256);
  const others = [await figures({ ...scenes, seed: 2 }), await figures({ ...scenes, validationExamples: 3 })];
  expect(new Set([read, ...others].map(({ sha256 }) => sha256)).size).toBe(3);
});

it("is told by the names and bytes of the files alone, too", async () => {
  for (const change of [{}, { trainExamples: 2 }]) {
    const { sha256, codingSha256, classes, train, validation } = await figures(change);
    const identity = await identityOf({ kind: "folder", path: folder, ...change });
    expect(identity.figures).toMatchObject({ sha256, codingSha256, classes });
    for (const [split, found] of [
      [train, identity.figures.train],
      [validation, identity.figures.validation],
    ])
      expect(found).toMatchObject({ examples: split!.examples, sha256: split!.sha256, files: split!.files });
    expect(identity.train.name(1)).toBe((await open(change)).train.name(1));
  }
  await rm(join(folder, "train/labels/b.png"));
  await expect(identityOf({ kind: "folder", path: folder })).rejects.toMatchObject({ reason: "DATASET_INVALID" });
});

it("of the validation split decides whether a mIoU compares with that of a search", async () => {
  const before = await figures();
  await writeLabel(join(folder, "train/labels/b.png"), 8, 8, [1, 0]);
  // Only the validation split is read.
  const narrow = { trainExamples: 1 };
  expect(await validationChange(before, await open(narrow))).toBeUndefined();
  expect(await validationChange(undefined, await open(narrow))).toBeUndefined();
  const spec = DatasetSpec.fromPartial({ ignoreValues: [7] });
  expect(await validationChange(before, await open({ ...narrow, folder: spec }))).toMatch(
    /\): the classes of the labels' values and colours changed$/,
  );
  await writeLabel(join(folder, "val/labels/d.png"), 8, 8, [1, 0]);
  const now = await figures();
  const [was, is] = [before, now].map(({ validation }) => validation!.sha256.slice(0, 12));
  expect(await validationChange(before, await open(narrow))).toBe(
    `the validation data is not that of the search (fingerprint ${was}, now ${is}): validation split: examples changed 1 (d.png)`,
  );
});
