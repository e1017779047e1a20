import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatasetSpec } from "../proto/lathe/v1/spec";
import { writeColors, writeImage, writeLabel, writePalette, writeText } from "../testing/pictures";
import { openDataset, type Dataset } from "./open";

// Whole data sets in the forms of public ones, as a training reads them.

let folder: string;
const opened: Dataset[] = [];
const at = (name: string): string => join(folder, name);
const open = async (spec: Partial<DatasetSpec> = {}, size = { height: 8, width: 8 }): Promise<Dataset> => {
  const dataset = await openDataset({
    kind: "folder",
    path: folder,
    folder: DatasetSpec.fromPartial(spec),
    ...size,
    seed: 1,
  });
  opened.push(dataset);
  return dataset;
};
/** Labelled pixels per class in training and validation. */
const pixels = async ({ train, validation, info }: Dataset) => [
  await train.countPixels(info.classes.length),
  await validation.countPixels(info.classes.length),
];

beforeEach(async () => (folder = await mkdtemp(join(tmpdir(), "lathe-forms-"))));
afterEach(async () => {
  await Promise.all(opened.splice(0).map((dataset) => dataset.close()));
  await rm(folder, { recursive: true });
});

describe("a folder in the form of", () => {
  it("PASCAL VOC has palettes, lists, an ignored border and classes of its own", async () => {
    const palette = Array.from({ length: 256 }, (_, i) => [i, 0, 0]);
    for (const stem of ["2007_1", "2007_2", "2007_3", "2007_4"]) await writeImage(at(`JPEGImages/${stem}.jpg`), 8, 8);
    for (const stem of ["2007_1", "2007_2", "2007_3"])
      await writePalette(at(`SegmentationClass/${stem}.png`), 8, 8, [0, 1, 255, 20], palette);
    await writeText(at("ImageSets/Segmentation/train.txt"), "2007_1\n2007_3\n");
    await writeText(at("ImageSets/Segmentation/val.txt"), "2007_2\n");
    const { train, validation, info } = await open();
    expect([train.length, train.name(1), validation.length]).toEqual([2, "2007_3.jpg", 1]);
    expect([info.classes.length, info.classes[20], info.colors[1]]).toEqual([21, "tvmonitor", [128, 0, 0]]);
    const counts = await train.countPixels(21);
    expect([counts[0], counts[1], counts[20], counts.reduce((sum, count) => sum + count, 0)]).toEqual([32, 32, 32, 96]);
    await writeText(at("ImageSets/Segmentation/val.txt"), "2007_2\n2007_4\n");
    await expect(open()).rejects.toThrow(
      `${at("ImageSets/Segmentation/val.txt")} line 2: image ${at("JPEGImages/2007_4.jpg")} has no label 2007_4.png`,
    );
  });

  it("Kaggle's CamVid has class_dict.csv and masks of colours with a suffix beside the images, void ignored", async () => {
    await writeText(at("class_dict.csv"), "name,r,g,b\r\nSky,128,128,128\nRoad,128,64,128\nVoid,0,0,0\n");
    const mask = [
      [128, 128, 128],
      [128, 64, 128],
      [0, 0, 0],
    ];
    for (const split of ["train", "val"]) {
      await writeImage(at(`${split}/0001.png`), 8, 8);
      await writeColors(at(`${split}_labels/0001_L.png`), 8, 8, mask);
    }
    const dataset = await open();
    expect(dataset.info.classes).toEqual(["Sky", "Road"]);
    expect(await pixels(dataset)).toEqual([
      [22, 21],
      [22, 21],
    ]);
    expect(await dataset.warnings()).toEqual([]);
    await writeColors(at("val_labels/0001_L.png"), 8, 8, [...mask, [9, 9, 9]]);
    await expect(open()).rejects.toThrow(
      `has the unknown colour 9 9 9 at x 3, y 0 (16 pixels): ${at("class_dict.csv")} has no such colour; add it, with the name void if it is no class`,
    );
  });

  it.each([
    ["Sky,1,2,3\n", 'begins with "Sky,1,2,3", must begin with the columns name,r,g,b'],
    ["name,r,g,b\nSky,1,2,3\nRoad,1,2\n", 'line 3 is "Road,1,2", must be a name and three numbers from 0 to 255'],
    ["name,r,g,b\nSky,1,2,3\nRoad,1,2,3\n", "line 3 repeats the colour 1 2 3 of another line"],
    ["name,r,g,b\nSky,1,2,3\nVoid,1,2,4\n", "names 1 classes, must be 2 to 254"],
  ])("Kaggle's CamVid is refused with the class_dict.csv %j", async (text, message) => {
    await writeText(at("class_dict.csv"), text);
    await expect(open()).rejects.toThrow(`${at("class_dict.csv")} ${message}`);
  });

  it("COCO-stuff has masks of values, of which some are ignored", async () => {
    await writeText(at("classes.txt"), "person\nbicycle\n");
    for (const split of ["train", "val"]) {
      await writeImage(at(`${split}/images/000000000009.jpg`), 8, 8);
      await writeLabel(at(`${split}/annotations/000000000009.png`), 8, 8, [0, 1, 182, 255]);
    }
    expect(await pixels(await open({ ignoreValues: [182] }))).toEqual([
      [16, 16],
      [16, 16],
    ]);
  });
});
