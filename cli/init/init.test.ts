import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { checkLayout } from "../../shared/data/check";
import { datasetOptions, listFiles } from "../../shared/data/open";
import { DatasetKind, DatasetSpec, SearchSpec } from "../../shared/proto/lathe/v1/spec";
import { writeColors, writeImage, writeLabel, writePalette } from "../../shared/testing/pictures";
import { parseSpec } from "../../shared/spec/parse";
import { requested } from "../spec/specFlags";
import { FOLDERS } from "./init.fixture";
import { inputSize } from "./inputSize";
import { planned, type InitRequest } from "./plan";
import { targetLines } from "./preset";
import { fitted, writeSpec } from "./write";

let root: string;
let path: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "init-"));
  path = join(root, "data");
  mkdirSync(path);
});
afterEach(() => rmSync(root, { recursive: true }));

const request = (more: Partial<InitRequest> = {}): InitRequest => ({
  path,
  out: join(root, "spec.yaml"),
  validation: 0.3,
  seed: 1,
  together: 1,
  force: false,
  ...more,
});
const quiet = (): void => undefined;

/** Writes the spec of the folder, and checks all files by the spec that was written. */
async function initialised(): Promise<{ text: string; classes: readonly string[]; train: number; validation: number }> {
  const plan = await planned(request(), quiet);
  const [out] = writeSpec(request(), plan, { about: ["About."], preset: "tiny", path, ...fitted("tiny", plan) });
  const text = readFileSync(out!, "utf8");
  const { resolved, space } = requested(parseSpec(text, out!));
  const dataset = DatasetSpec.fromPartial(resolved.dataset);
  const options = datasetOptions({ dataset, seed: 0 }, space);
  const report = await checkLayout(await listFiles(options), options, quiet);
  expect(report.faults).toEqual([]);
  expect(report.classes).toHaveLength(space.classes);
  return {
    text,
    classes: report.classes.filter((_, at) => report.train.pixels[at]! > 0 && report.validation.pixels[at]! > 0),
    train: report.train.examples,
    validation: report.validation.examples,
  };
}

it.each<[keyof typeof FOLDERS, string[], string[]]>([
  ["split first", ["skin", "wound"], ["kind: folder"]],
  ["binary masks", ["background", "foreground"], ['label_values: { 0: "background", 255: "foreground" }', "# 75.0 %"]],
  [
    "values with gaps",
    ["class0", "class7", "class9"],
    ["Assumed: 255 is ignored.", "if it means that nothing is labelled"],
  ],
  ["folders in capitals", ["background", "foreground"], []],
  ["masks beside their images", ["background", "foreground"], ["train_list: "]],
  ["folders named after their splits", ["class0", "class1", "class2"], ["train_list: "]],
  ["binary masks with a list", ["skin", "wound"], ['label_values: { 0: "skin", 255: "wound" }']],
  ["values with gaps and a list", ["sky", "road", "car"], ['label_values: { 0: "sky", 7: "road", 9: "car" }']],
  ["a training split alone", ["class1", "class2"], ['label_values: { 1: "class1", 2: "class2" }']],
  ["colours without a list", ["background", "class1", "class2"], ['"class2 200 0 0"', "black is the class background"]],
  ["palette masks", ["background", "foreground"], ['"foreground 200 0 0"']],
  ["PASCAL VOC", ["background", "person"], []],
  ["PASCAL VOC without lists", ["background", "person"], ["train_list: "]],
  ["class_dict.csv", ["Car", "Sky"], []],
  [
    "CamVid",
    [..."sky building pole road pavement tree sign fence car pedestrian bicyclist".split(" ")],
    ["kind: camvid"],
  ],
  ["lists of other labels", ["class0", "class1", "class2"], ["kind: folder", 'train_list: "train.txt"']],
  ["Cityscapes", ["road", "car"], ["kind: cityscapes"]],
])("%s: the spec that is written reads every file", async (kind, classes, lines) => {
  await FOLDERS[kind](path);
  const written = await initialised();
  expect(written).toMatchObject({ classes, train: 7, validation: 3 });
  for (const line of lines) expect(written.text).toContain(line);
  expect(written.text).toContain("input_height: 48\n  input_width: 64");
});

it("a division depends on the seed alone, and keeps images of equal content together", async () => {
  await FOLDERS["binary masks"](path);
  for (const twin of ["a", "b", "c"]) {
    await writeImage(join(path, "images", `${twin}.png`), 48, 64, 200);
    await writeLabel(join(path, "masks", `${twin}.png`), 48, 64, [0, 255]);
  }
  const validation = async (seed: number): Promise<string[]> =>
    (await planned(request({ seed }), quiet)).divided.validation.map(({ image }) => image.slice(path.length));
  const seeds = Array.from({ length: 12 }, (_, seed) => seed);
  const divisions = await Promise.all(seeds.map(validation));
  expect(await Promise.all(seeds.map(validation))).toEqual(divisions);
  expect(new Set(divisions.map(String)).size).toBeGreaterThan(1);
  const twins = divisions.map((images) => images.filter((image) => /[abc]\.png$/.test(image)).length);
  expect(new Set(twins)).toEqual(new Set([0, 3]));
});

it("images of consecutive names stay together as asked, in the order of their numbers", async () => {
  const frames = Array.from({ length: 13 }, (_, at) => [
    `drive_${at + 1}_left8bit`,
    `drive_${at + 1}_right8bit`,
  ]).flat();
  for (const [index, stem] of frames.entries()) {
    await writeImage(join(path, "images", `${stem}.png`), 16, 16, index);
    await writeLabel(join(path, "masks", `${stem}.png`), 16, 16, [0, 255]);
  }
  const runs = [0, 4, 8, 12, 16, 20, 24].map((start) => frames.slice(start, start + 4));
  for (let seed = 0; seed < 6; seed++) {
    const { train, validation, how } = (await planned(request({ seed, together: 4 }), quiet)).divided;
    const stems = [train, validation].map((split) => split.map(({ image }) => basename(image, ".png")));
    const split = (stem: string): number => stems.findIndex((names) => names.includes(stem));
    for (const run of runs) expect(new Set(run.map(split)).size).toBe(1);
    expect(train.length + validation.length).toBe(frames.length);
    // 30 % are 8 images: two runs, or the last one of two images and one other.
    expect([6, 8]).toContain(validation.length);
    const share = Math.round((100 * validation.length) / frames.length);
    expect(how).toBe(`at random with seed ${seed}, ${share} % for validation, 4 images of consecutive names together`);
    // No group is as small as the share: the smaller one validates.
    expect((await planned(request({ seed, together: 16 }), quiet)).divided.validation).toHaveLength(10);
  }
});

it("images that are all one group cannot be divided", async () => {
  for (const index of [1, 2, 3]) {
    await writeImage(join(path, "images", `${index}.png`), 16, 16, index);
    await writeLabel(join(path, "masks", `${index}.png`), 16, 16, [0, 255]);
  }
  await expect(planned(request({ together: 3 }), quiet)).rejects.toThrow(
    /has 1 group of images to divide, must have at least 2.* a group, and so are 3 of consecutive names$/,
  );
  // A twin joins two runs.
  await writeImage(join(path, "images", "3.png"), 16, 16, 1);
  await expect(planned(request({ together: 2 }), quiet)).rejects.toThrow(/has 1 group of images/);
});

it("many values without a palette are said to be doubtful, and palettes that disagree give no colours", async () => {
  const two = [
    [0, 0, 0],
    [9, 9, 9],
  ] as const;
  for (const [index, stem] of ["1", "2"].entries()) {
    await writeImage(join(path, "images", `${stem}.png`), 10, 10, index);
    await writeLabel(
      join(path, "masks", `${stem}.png`),
      10,
      10,
      Array.from({ length: 80 }, (_, value) => value),
    );
    await writeImage(join(root, "palettes", "images", `${stem}.png`), 10, 10, index);
    await writePalette(
      join(root, "palettes", "masks", `${stem}.png`),
      10,
      10,
      [0, 1],
      index ? two : [...two].reverse(),
    );
  }
  expect((await planned(request(), quiet)).proposal.assumed).toContain(
    "all 80 values are classes, though photographs and smoothed masks store as many",
  );
  const { proposal } = await planned(request({ path: join(root, "palettes") }), quiet);
  expect(proposal.fields.classes).toEqual(["background", "foreground"]);
});

it("existing files stay unless they are to be replaced", async () => {
  await FOLDERS["binary masks"](path);
  writeFileSync(join(root, "spec.train.txt"), "mine");
  await expect(planned(request(), quiet)).rejects.toThrow(/spec\.train\.txt exists already: .* --force$/);
  await expect(planned(request({ force: true }), quiet)).resolves.toBeDefined();
});

it("a batch larger than the training split is made as small as that", async () => {
  await FOLDERS["binary masks"](path);
  const plan = await planned(request(), quiet);
  expect(fitted("tiny", plan).batchSize).toBe(7);
});

it.each([
  [[{ height: 360, width: 480, images: 3 }], 96 * 128, { height: 96, width: 128 }],
  [[{ height: 500, width: 375, images: 1 }], 96 * 128, { height: 128, width: 96 }],
  [[{ height: 20, width: 30, images: 1 }], 96 * 128, { height: 16, width: 32 }],
  // The median of the aspects 1, 2 and 3.
  [
    [
      { height: 300, width: 100, images: 2 },
      { height: 100, width: 200, images: 1 },
      { height: 200, width: 200, images: 2 },
    ],
    128 * 128,
    { height: 128, width: 128 },
  ],
])("the input size of %j at %d pixels is %j", (sizes, area, size) => expect(inputSize(sizes, area, 16)).toEqual(size));

describe("a folder that cannot be used is refused, with what was found", () => {
  const refusal = async (): Promise<string> =>
    planned(request(), quiet).then(
      () => "accepted",
      (error: Error) => error.message,
    );

  it("without images and labels", async () => {
    await writeImage(join(path, "photos", "1.png"), 8, 8);
    expect(await refusal()).toMatch(
      /is no arrangement of images and labels .*: it holds photos\/; looked for images\/ and labels\//,
    );
  });

  it("with outlines in JSON", async () => {
    await writeImage(join(path, "1.png"), 8, 8);
    writeFileSync(join(path, "1.json"), "{}");
    expect(await refusal()).toContain(
      "it holds 1.json, 1.png (outlines in JSON or XML must be drawn as PNG masks first)",
    );
  });

  it("with one image", async () => {
    await writeImage(join(path, "images", "1.png"), 8, 8);
    await writeLabel(join(path, "masks", "1.png"), 8, 8, [0, 1]);
    expect(await refusal()).toContain(
      "has 1 group of images to divide, must have at least 2, one for each split: images of equal content are a group",
    );
  });

  it("with spaces in names that only a list of images and labels could pair", async () => {
    await writeImage(join(path, "my photo.png"), 8, 8);
    await writeLabel(join(path, "my photo_mask.png"), 8, 8, [0, 1]);
    expect(await refusal()).toContain("has a space in its name, which a list of both cannot hold");
  });

  it("with a label missing", async () => {
    await FOLDERS["binary masks"](path);
    rmSync(join(path, "masks", "3.png"));
    expect(await refusal()).toContain(`image ${join(path, "images", "3.png")} has no label 3.png`);
  });

  it("with one value in all labels", async () => {
    for (const stem of ["1", "2"]) {
      await writeImage(join(path, "images", `${stem}.png`), 8, 8, Number(stem));
      await writeLabel(join(path, "masks", `${stem}.png`), 8, 8, [3, 255]);
    }
    expect(await refusal()).toContain(
      "the labels store 1 value that can be a class beside 255, which is ignored, at least 2 are needed",
    );
  });

  it("with smoothed masks of colours", async () => {
    const smoothed = Array.from({ length: 400 }, (_, at) => [at >> 1, at & 255, 9]);
    for (const stem of ["1", "2"]) {
      await writeImage(join(path, "images", `${stem}.png`), 20, 20, Number(stem));
      await writeColors(join(path, "masks", `${stem}.png`), 20, 20, smoothed);
    }
    expect(await refusal()).toContain("the labels have more than 254 colours, which cannot be classes");
  });

  it("with smoothed masks of 0 and 255", async () => {
    const edge = [...new Array<number>(300).fill(0), 40, 90, 150, 220, ...new Array<number>(96).fill(255)];
    for (const stem of ["1", "2"]) {
      await writeImage(join(path, "images", `${stem}.png`), 20, 20, Number(stem));
      await writeLabel(join(path, "masks", `${stem}.png`), 20, 20, edge);
    }
    expect(await refusal()).toContain("masks of 0 and 255 with 4 values between them, in 1.0 % of the pixels");
  });

  it("with labels of two kinds", async () => {
    await FOLDERS["binary masks"](path);
    await writeColors(join(path, "masks", "1.png"), 48, 64, [[1, 2, 3]]);
    expect(await refusal()).toContain("1 of 10 labels are images of colours, the others store values");
  });
});

it("a preset with a latency says which one its spec asks for", () => {
  const dataset = { kind: DatasetKind.DATASET_KIND_STREETS };
  const lines = (preset: string) =>
    targetLines(SearchSpec.fromPartial({ preset, dataset, space: { inputHeight: 96, inputWidth: 128 } }));
  expect(lines("medium")).toEqual(["It searches for 1.6 ms an image; cost.target_ms asks for another latency."]);
  expect(lines("small")).toEqual([]);
});
