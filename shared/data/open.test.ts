import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { writeImage, writeLabel, writeText } from "../testing/pictures";
import { batches, classFrequencies } from "./batches";
import { beginDataset, openDataset, type Dataset } from "./open";
import { drawScene } from "./streets/scene";

describe("openDataset on files", () => {
  let folder: string;
  const opened: Dataset[] = [];
  const open = async (change: Partial<Parameters<typeof openDataset>[0]> = {}): Promise<Dataset> => {
    const dataset = await openDataset({ kind: "folder", path: folder, height: 8, width: 8, seed: 1, ...change });
    opened.push(dataset);
    return dataset;
  };
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "lathe-dataset-"));
    await writeText(join(folder, "classes.txt"), "sky\nroad\ncar\n");
    for (let i = 0; i < 5; i++) {
      await writeImage(join(folder, `train/images/${i}.png`), 8, 8, 10 * i);
      await writeLabel(join(folder, `train/labels/${i}.png`), 8, 8, i === 0 ? [1] : [0, 0, 2, 255]);
    }
    await writeImage(join(folder, "val/images/v.png"), 8, 8);
    await writeLabel(join(folder, "val/labels/v.png"), 8, 8, [0, 1, 2]);
  });
  afterEach(() => Promise.all(opened.splice(0).map((dataset) => dataset.close())));
  afterAll(() => rm(folder, { recursive: true }));

  it("refuses every batch size that the training split cannot fill, before any file is decoded", async () => {
    await writeText(join(folder, "train/labels/0.png"), "no PNG");
    const batchSizes = { "training.batch_size": 6, "retraining.batch_size": 5, "other.batch_size": 700 };
    await expect(open({ batchSizes })).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      reason: "BATCH_TOO_LARGE",
      violations: [
        { field: "training.batch_size", description: "is 6, must be at most 5, the size of the training split" },
        { field: "other.batch_size", description: "is 700, must be at most 5, the size of the training split" },
      ],
    });
    await writeLabel(join(folder, "train/labels/0.png"), 8, 8, [1]);
  });

  it("serves examples, names, batches and class shares", async () => {
    const { train, validation, info } = await open({ classes: 3 });
    expect([train.length, validation.length, info.classes.length]).toEqual([5, 1, 3]);
    expect(train.name(3)).toBe("3.png");
    expect((await train.example(3)).image).toEqual(new Uint8Array(192).fill(30));
    const seen: number[][] = [];
    for await (const batch of batches(train, { batchSize: 2, labelStride: 8 }))
      seen.push([...batch.indices, ...batch.labels]);
    // The centre of the one 8x8 cell is pixel (4, 4): value 36 mod 4 of the list.
    expect(seen).toEqual([
      [0, 1, 1, 0],
      [2, 3, 0, 0],
      [4, 0],
    ]);
    // 64 pixels of class 1; four files of 32 pixels of class 0, 16 of class 2 and 16 ignored.
    expect(await classFrequencies(train, 3)).toEqual([128 / 256, 64 / 256, 64 / 256]);
    expect(await classFrequencies(validation, 3)).toEqual([22 / 64, 21 / 64, 21 / 64]);
  });

  it("gives the same examples without a cache", async () => {
    const { train } = await open({ cacheBytes: 0 });
    expect((await train.example(4)).image[0]).toBe(40);
    expect((await train.example(4)).image[0]).toBe(40);
  });

  it("takes some of the files at even distances", async () => {
    const { train } = await open({ trainExamples: 2 });
    expect([train.length, train.name(0), train.name(1)]).toEqual([2, "0.png", "2.png"]);
    await expect(open({ trainExamples: 6 })).rejects.toThrow("has 5 examples, 6 were asked for");
  });

  it("finds a fault of any file before it returns", async () => {
    const label = join(folder, "val/labels/v.png");
    await writeLabel(label, 8, 8, [7]);
    await expect(open()).rejects.toThrow(
      `label ${label} has the unknown value 7 at x 0, y 0 (64 pixels): known are 0 to 2, 255`,
    );
    await expect(open()).rejects.toMatchObject({ code: "INVALID_ARGUMENT", reason: "DATASET_INVALID" });
    await writeLabel(label, 8, 8, [0, 1, 2]);
  });

  it("begun, serves intact files, and rejects requests after the check has found a fault", async () => {
    const image = join(folder, "val/images/v.png");
    await writeText(image, "no image");
    const { dataset, checked } = await beginDataset({ kind: "folder", path: folder, height: 8, width: 8, seed: 1 });
    opened.push(dataset);
    expect(await classFrequencies(dataset.train, 3)).toEqual([128 / 256, 64 / 256, 64 / 256]);
    const fault = await checked.catch((error: unknown) => error);
    expect(fault).toMatchObject({ reason: "DATASET_INVALID" });
    expect(String(fault)).toContain(`image ${image} cannot be decoded`);
    await expect(dataset.train.example(0)).rejects.toEqual(fault);
    await writeImage(image, 8, 8);
  });

  it("begun, names all broken files when a request needs one of them", async () => {
    const labels = [1, 4].map((i) => join(folder, `train/labels/${i}.png`));
    for (const label of labels) await writeLabel(label, 8, 8, [7]);
    const { dataset, checked } = await beginDataset({ kind: "folder", path: folder, height: 8, width: 8, seed: 1 });
    opened.push(dataset);
    const fault = await classFrequencies(dataset.train, 3).catch((error: unknown) => error);
    expect(String(fault)).toContain(
      `label ${labels[0]} has the unknown value 7 at x 0, y 0 (64 pixels): known are 0 to 2, 255`,
    );
    expect(String(fault)).toContain("(and 1 more faulty examples)");
    await expect(checked).rejects.toEqual(fault);
    for (const label of labels) await writeLabel(label, 8, 8, [0, 0, 2, 255]);
  });

  it.each([
    ["another class count", { classes: 4 }, "has 3 classes, 4 expected"],
    ["no path", { path: "" }, "dataset folder needs a path"],
    ["a height of nothing", { height: 0 }, "dataset height is 0, must be a whole number of at least 8"],
    ["a broken seed", { seed: 0.5 }, "dataset seed is 0.5"],
  ])("refuses %s", async (_name, change, message) => {
    await expect(open(change)).rejects.toThrow(message);
  });

  it("refuses an index past the end, and everything once closed", async () => {
    const dataset = await open();
    await expect(dataset.train.example(5)).rejects.toThrow("example 5 of train: must be 0 to 4");
    expect(() => dataset.train.name(-1)).toThrow("must be 0 to 4");
    const late = dataset.train.example(0).catch((error: unknown) => error);
    await dataset.close();
    expect(await late).toMatchObject({ reason: "DATASET_CLOSED" });
    await expect(dataset.train.example(0)).rejects.toMatchObject({ reason: "DATASET_CLOSED" });
  });
});

describe("openDataset on streets", () => {
  it("serves the scenes of the seed from its thread", async () => {
    const size = { height: 32, width: 64 };
    const dataset = await openDataset({ kind: "streets", ...size, seed: 5, trainExamples: 3, classes: 11 });
    try {
      expect([dataset.train.length, dataset.validation.length]).toEqual([3, 128]);
      expect(await dataset.train.example(2)).toEqual(drawScene(size, 5, "train", 2));
      expect(await dataset.validation.example(2)).toEqual(drawScene(size, 5, "validation", 2));
    } finally {
      await dataset.close();
    }
  });
});
