import { mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { DatasetSpec } from "../proto/lathe/v1/spec";
import { writeColors, writeImage, writeLabel, writeText } from "../testing/pictures";
import { openDataset, type Dataset } from "./open";

// Whole data sets of each kind that users bring, as a training reads them.

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

beforeEach(async () => (folder = await mkdtemp(join(tmpdir(), "lathe-kinds-"))));
afterEach(async () => {
  await Promise.all(opened.splice(0).map((dataset) => dataset.close()));
  await rm(folder, { recursive: true });
});

/** Pairs of 8x8 in Lathe's own arrangement; labels hold `values`, repeated. */
async function own(values: readonly number[], splits: readonly string[] = ["train", "val"]): Promise<void> {
  await writeText(at("classes.txt"), "sky\nroad\n");
  for (const split of splits) {
    await writeImage(at(`${split}/images/a.png`), 8, 8);
    await writeLabel(at(`${split}/labels/a.png`), 8, 8, values);
  }
}

describe("a folder", () => {
  it("is read with the folders below images/ and labels/, paired by path", async () => {
    await own([0, 1]);
    for (const city of ["bonn", "ulm/old"]) {
      await writeImage(at(`train/images/${city}/a.png`), 8, 8, 50);
      await writeLabel(at(`train/labels/${city}/a.png`), 8, 8, [1]);
    }
    const dataset = await open();
    expect([dataset.train.length, dataset.validation.length]).toEqual([3, 1]);
    expect(await pixels(dataset)).toEqual([
      [32, 160],
      [32, 32],
    ]);
    await rm(at("train/labels/ulm/old/a.png"));
    await expect(open()).rejects.toThrow(`image ${at("train/images/ulm/old/a.png")} has no label ulm/old/a.png`);
  });

  it("tells of a link that leads back to a folder above it", async () => {
    await own([0, 1]);
    await symlink("..", at("train/images/up"));
    await expect(open()).rejects.toThrow(
      `dataset folder ${at("train/images/up/images")} is a link to a folder above it`,
    );
  });

  it("is read past files that cannot be images or labels, which one line counts", async () => {
    await own([0, 1]);
    for (const name of [
      "images/Thumbs.db",
      "labels/Thumbs.db",
      "images/desktop.ini",
      "images/._a.png",
      "labels/.DS_Store",
    ])
      await writeText(at(`train/${name}`), "nothing");
    const dataset = await open();
    expect(dataset.train.length).toBe(1);
    expect(dataset.notes).toEqual([
      "passed over 5 files that cannot be images or labels: ._a.png, Thumbs.db (2), desktop.ini, .DS_Store",
    ]);
  });

  it("may have BMP images and labels, and JPEG images under the name of a PNG", async () => {
    await own([0, 1]);
    const bmp = (bits: number, height: number, rows: Buffer, palette = Buffer.alloc(0)): Buffer => {
      const header = Buffer.alloc(54);
      header.write("BM", "latin1");
      header.writeUInt32LE(54 + palette.length, 10);
      header.writeUInt32LE(40, 14);
      header.writeInt32LE(8, 18);
      header.writeInt32LE(height, 22);
      header.writeUInt16LE(bits, 28);
      return Buffer.concat([header, palette, rows]);
    };
    await writeFile(at("train/images/b.bmp"), bmp(24, 8, Buffer.alloc(192, 70)));
    await writeFile(at("train/labels/b.bmp"), bmp(8, 8, Buffer.alloc(64, 1), Buffer.alloc(1024)));
    const jpeg = sharp({ create: { width: 8, height: 8, channels: 3, background: { r: 90, g: 90, b: 90 } } }).jpeg();
    await writeFile(at("train/images/c.png"), await jpeg.toBuffer());
    await writeLabel(at("train/labels/c.png"), 8, 8, [0]);
    const { train } = await open();
    expect(await train.countPixels(2)).toEqual([96, 96]);
    expect((await train.example(1)).image).toEqual(new Uint8Array(192).fill(70));
    expect((await train.example(2)).image).toEqual(new Uint8Array(192).fill(90));
  });

  it("shows images as their EXIF orientation says, with labels as they are displayed", async () => {
    await writeText(at("classes.txt"), "left\nright\n");
    // Stored lying: the upper half is dark, the lower bright. Orientation 6 turns it to the right: the left half is bright.
    const lying = Uint8Array.from({ length: 16 * 8 * 3 }, (_, i) => (i < 16 * 4 * 3 ? 40 : 200));
    for (const split of ["train", "val"]) {
      await writeImage(at(`${split}/images/x.png`), 1, 1);
      await sharp(lying, { raw: { width: 16, height: 8, channels: 3 } })
        .png()
        .withMetadata({ orientation: 6 })
        .toFile(at(`${split}/images/x.png`));
      await writeLabel(at(`${split}/labels/x.png`), 16, 8, [0, 0, 0, 0, 1, 1, 1, 1]);
    }
    const { image, label } = await (await open({}, { height: 16, width: 8 })).train.example(0);
    const tones = [0, 1].map(
      (side) => new Set([...label].flatMap((value, i) => (value === side ? [image[3 * i]] : []))),
    );
    expect(tones.map((tone) => [...tone])).toEqual([[200], [40]]);

    await writeLabel(at("val/labels/x.png"), 8, 16, [0, 1]);
    await expect(open()).rejects.toThrow(
      "x.png is 16x8, its image " +
        at("val/images/x.png") +
        " is 8x16, as its EXIF orientation 6 displays it: sizes must be equal",
    );
    await sharp(new Uint8Array(128), { raw: { width: 16, height: 8, channels: 1 } })
      .toColourspace("b-w")
      .png()
      .withMetadata({ orientation: 6 })
      .toFile(at("val/labels/x.png"));
    await expect(open()).rejects.toThrow(
      `label ${at("val/labels/x.png")} cannot be decoded: has the EXIF orientation 6, a label must be stored as its image is displayed`,
    );
  });

  it("pairs names that differ by a suffix, given or found", async () => {
    await writeText(at("classes.txt"), "sky\nroad\n");
    for (const split of ["train", "valid"])
      for (const stem of ["0001", "0002"]) {
        await writeImage(at(`${split}/images/${stem}_rgb.jpg`), 8, 8);
        await writeLabel(at(`${split}/masks/${stem}_mask.png`), 8, 8, [0, 1]);
      }
    const { train, notes } = await open();
    expect([train.length, train.name(1)]).toEqual([2, "0002_rgb.jpg"]);
    expect(notes).toEqual(["names of images end in _rgb, names of labels end in _mask, where they pair"]);
    // A file that lies beside the labels has another suffix.
    await writeLabel(at("train/masks/0001_instance.png"), 8, 8, [9]);
    await expect(open()).rejects.toThrow("has no label 0001_rgb.png");
    expect((await open({ imageSuffix: "_rgb.jpg", labelSuffix: "_mask" })).train.length).toBe(2);
  });

  it("may have its splits below images/ and labels/, or name them in lists without moving a file", async () => {
    await writeText(at("classes.txt"), "sky\nroad\n");
    for (const stem of ["a", "b b", "below/c"]) {
      await writeImage(at(`images/${stem}.png`), 8, 8);
      await writeLabel(at(`labels/${stem}.png`), 8, 8, [0, 1]);
    }
    await expect(open()).rejects.toThrow(
      `${at("images")} has no folders train and validation: name the files that list the examples of each split, dataset.train_list and dataset.validation_list`,
    );
    await writeText(at("train.txt"), "a\nb b.png\n");
    await writeText(at("val.txt"), "images/below/c.png labels/below/c.png\n");
    const lists = { trainList: "train.txt", validationList: at("val.txt") };
    const { train, validation } = await open(lists);
    expect([train.name(0), train.name(1), validation.name(0)]).toEqual(["a.png", "b b.png", "c.png"]);
    await writeText(at("train.txt"), "a\nbelow/c\n");
    expect(await (await open(lists)).warnings()).toEqual([
      `the splits share 1 image, the first is ${at("images/below/c.png")}: the validation mIoU is too good`,
    ]);
    await writeText(at("train.txt"), "a\nd\n");
    await expect(open(lists)).rejects.toThrow(
      `${at("train.txt")} line 2 is "d", which is no image below ${at("images")}`,
    );
    for (const split of ["train", "val"]) {
      await writeImage(at(`images/${split}/s.png`), 8, 8);
      await writeLabel(at(`labels/${split}/s.png`), 8, 8, [0, 1]);
    }
    expect((await open()).train.name(0)).toBe("s.png");
  });

  it("names every fault of its files at once", async () => {
    await own([0, 1]);
    await writeImage(at("train/images/b.png"), 8, 8);
    await writeText(at("train/labels/b.tif"), "tiff");
    await writeLabel(at("val/labels/c.png"), 8, 8, [0]);
    await expect(open()).rejects.toMatchObject({
      reason: "DATASET_INVALID",
      violations: [
        {
          description: `image ${at("train/images/b.png")} has no label b.png; b.tif is there, but a label must be a PNG or BMP`,
        },
        { description: `label ${at("val/labels/c.png")} has no image named c` },
      ],
    });
  });
});

describe("labels", () => {
  it("of 0 and 255 are refused where 255 is ignored, and read where the spec says which class it is", async () => {
    await own([0, 0, 0, 255]);
    await expect(open()).rejects.toThrow(
      `dataset ${folder}: only class "sky" has training pixels, so there is nothing to learn; class "road" has no pixel; 25.0 % of the training pixels are ignored (255)`,
    );
    const dataset = await open({ labelValues: { "0": "sky", "255": "road" } });
    expect(await pixels(dataset)).toEqual([
      [48, 16],
      [48, 16],
    ]);
    await expect(open({ labelValues: { "0": "sky", "255": "raod" } })).rejects.toThrow(
      `dataset.label_values["255"] is "raod", which is no class of ${at("classes.txt")}: sky, road`,
    );
  });

  it("may begin at 1, with 0 ignored, and have other values that are ignored", async () => {
    await own([0, 1, 2, 9]);
    const dataset = await open({ reduceZeroLabel: true, ignoreValues: [9] });
    expect(await pixels(dataset)).toEqual([
      [16, 16],
      [16, 16],
    ]);
    await expect(open({ reduceZeroLabel: true })).rejects.toThrow("has the unknown value 9 at x 3, y 0 (16 pixels)");
  });

  it("are not judged where only some of the files are asked for", async () => {
    await own([0, 255]);
    await writeImage(at("train/images/b.png"), 8, 8);
    await writeLabel(at("train/labels/b.png"), 8, 8, [0]);
    const some = await openDataset({ kind: "folder", path: folder, height: 8, width: 8, seed: 1, trainExamples: 1 });
    opened.push(some);
    expect([some.train.length, await some.warnings()]).toEqual([1, []]);
  });

  it("of no validation pixel are refused, and warned of where a class has none", async () => {
    await own([0, 1]);
    await writeLabel(at("val/labels/a.png"), 8, 8, [255]);
    await expect(open()).rejects.toThrow(`dataset ${folder}: the validation split has no labelled pixel; 100.0 %`);
    await writeLabel(at("val/labels/a.png"), 8, 8, [0]);
    expect(await (await open()).warnings()).toEqual([
      'class "road" has no validation pixel',
      'only class "sky" has validation pixels: a network that predicts nothing else has the best mIoU',
    ]);
    await writeLabel(at("val/labels/a.png"), 8, 8, [1, 0]);
    expect(await (await open()).warnings()).toEqual([]);
  });

  it("may be colours of classes.txt, or classes in the spec", async () => {
    await own([0]);
    const mask = [
      [10, 20, 30],
      [200, 0, 0],
      [0, 0, 0],
      [200, 0, 0],
    ];
    for (const split of ["train", "val"]) await writeColors(at(`${split}/labels/a.png`), 8, 8, mask);
    await expect(open()).rejects.toThrow(
      `label ${at("train/labels/a.png")} is an image of colours: ${at("classes.txt")} must give each class a colour of its own, "name r g b"`,
    );
    const classes = ["sky 10 20 30", "road 200 0 0"];
    const dataset = await open({ classes });
    expect(dataset.info).toMatchObject({
      classes: ["sky", "road"],
      colors: [
        [10, 20, 30],
        [200, 0, 0],
      ],
    });
    expect(await dataset.train.countPixels(2)).toEqual([16, 32]);
    expect(await dataset.warnings()).toEqual([
      "32 pixels of labels have the colour 0 0 0, which is that of no class: they are ignored; list the colour if it is a class",
    ]);
    await writeColors(at("val/labels/a.png"), 8, 8, [...mask, [1, 2, 3]]);
    await expect(open({ classes })).rejects.toThrow(
      `label ${at("val/labels/a.png")} has the unknown colour 1 2 3 at x 4, y 0 (12 pixels): dataset.classes has no such colour; add it`,
    );
  });
});
