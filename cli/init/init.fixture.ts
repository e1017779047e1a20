import { join } from "node:path";
import { writeColors, writeImage, writeLabel, writePalette, writeText } from "../../shared/testing/pictures";

const SIZE = [48, 64] as const;
/** The names of the images, without their extension. */
const STEMS = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10"];
const TRAIN = STEMS.slice(0, 7);
const splitOf = (stem: string): "train" | "val" => (TRAIN.includes(stem) ? "train" : "val");

/** Writes images of different content, each with a label. Paths are those of a stem, without the extension. */
async function write(
  root: string,
  paths: (stem: string) => readonly [image: string, label: string],
  label: (path: string) => Promise<void>,
): Promise<void> {
  for (const [index, stem] of STEMS.entries()) {
    const [image, labelled] = paths(stem);
    await writeImage(join(root, `${image}.png`), ...SIZE, 10 + index);
    await label(join(root, `${labelled}.png`));
  }
}

const values =
  (...list: number[]) =>
  (path: string): Promise<void> =>
    writeLabel(path, ...SIZE, list);

const colors =
  (...list: number[][]) =>
  (path: string): Promise<void> =>
    writeColors(path, ...SIZE, list);

const BLACK = [0, 0, 0];
const RED = [200, 0, 0];
const BLUE = [80, 90, 200];

/** Folders as users bring them. Each writer fills a new folder. */
export const FOLDERS = {
  "split first": async (root: string) => {
    await write(root, (stem) => [`${splitOf(stem)}/images/${stem}`, `${splitOf(stem)}/labels/${stem}`], values(0, 1));
    await writeText(join(root, "classes.txt"), "skin\nwound\n");
  },
  "binary masks": (root: string) => write(root, (stem) => [`images/${stem}`, `masks/${stem}`], values(0, 0, 0, 255)),
  "binary masks with a list": async (root: string) => {
    await write(root, (stem) => [`images/${stem}`, `masks/${stem}`], values(0, 0, 0, 255));
    await writeText(join(root, "classes.txt"), "skin\nwound\n");
  },
  "values with gaps and a list": async (root: string) => {
    await write(root, (stem) => [`images/${stem}`, `masks/${stem}`], values(0, 7, 9, 255));
    await writeText(join(root, "classes.txt"), "sky\nroad\ncar\n");
  },
  "values with gaps": (root: string) =>
    write(root, (stem) => [`images/bonn/${stem}`, `labels/bonn/${stem}`], values(0, 7, 9, 255)),
  "folders in capitals": (root: string) => write(root, (stem) => [`Images/${stem}`, `Masks/${stem}`], values(0, 1)),
  "masks beside their images": (root: string) => write(root, (stem) => [stem, `${stem}_mask`], values(0, 1)),
  "folders named after their splits": (root: string) =>
    write(
      root,
      (stem) => [`images/${splitOf(stem)}2017/${stem}`, `annotations/${splitOf(stem)}2017/${stem}`],
      values(0, 1, 2),
    ),
  "a training split alone": (root: string) =>
    write(root, (stem) => [`train/images/${stem}`, `train/masks/${stem}_m`], values(1, 2)),
  "colours without a list": (root: string) =>
    write(root, (stem) => [`images/${stem}`, `masks/${stem}`], colors(BLACK, RED, BLUE)),
  "palette masks": (root: string) =>
    write(
      root,
      (stem) => [`images/${stem}`, `masks/${stem}`],
      (path) => writePalette(path, ...SIZE, [0, 1], [BLACK, RED]),
    ),
  "PASCAL VOC": async (root: string) => {
    await write(root, (stem) => [`JPEGImages/${stem}`, `SegmentationClass/${stem}`], values(0, 15, 255));
    for (const split of ["train", "val"] as const)
      await writeText(
        join(root, "ImageSets", "Segmentation", `${split}.txt`),
        STEMS.filter((stem) => splitOf(stem) === split).join("\n"),
      );
  },
  "PASCAL VOC without lists": (root: string) =>
    write(root, (stem) => [`JPEGImages/${stem}`, `SegmentationClass/${stem}`], values(0, 15, 255)),
  "class_dict.csv": async (root: string) => {
    await write(
      root,
      (stem) => [`${splitOf(stem)}/${stem}`, `${splitOf(stem)}_labels/${stem}_L`],
      colors(RED, BLUE, BLACK),
    );
    await writeText(join(root, "class_dict.csv"), "name,r,g,b\nCar,200,0,0\nSky,80,90,200\nVoid,0,0,0\n");
  },
  CamVid: (root: string) =>
    withLists(
      root,
      Array.from({ length: 12 }, (_, value) => value),
    ),
  "lists of other labels": (root: string) => withLists(root, [0, 1, 2]),
  Cityscapes: (root: string) =>
    write(
      root,
      (stem) => [
        `leftImg8bit/${splitOf(stem)}/bonn/${stem}_leftImg8bit`,
        `gtFine/${splitOf(stem)}/bonn/${stem}_gtFine_labelIds`,
      ],
      values(7, 26),
    ),
} satisfies Record<string, (root: string) => Promise<void>>;

async function withLists(root: string, labels: number[]): Promise<void> {
  const paths = (stem: string) => [`${splitOf(stem)}/${stem}`, `${splitOf(stem)}annot/${stem}`] as const;
  await write(root, paths, values(...labels));
  for (const split of ["train", "val"] as const) {
    const lines = STEMS.filter((stem) => splitOf(stem) === split).map((stem) =>
      paths(stem)
        .map((path) => `${path}.png`)
        .join(" "),
    );
    await writeText(join(root, `${split}.txt`), lines.join("\n"));
  }
}
