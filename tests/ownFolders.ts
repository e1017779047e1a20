import { mkdir, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import sharp from "sharp";
import type { Example } from "../shared/data/dataset";
import { vocClasses } from "../shared/data/layouts/voc";
import { CAR, PEDESTRIAN, streetsInfo } from "../shared/data/streets/classes";
import { drawScene } from "../shared/data/streets/scene";
import { createRandom } from "../shared/engine/random";
import { LatheError } from "../shared/process/errors";
import { writeColors, writePalette, writeText } from "../shared/testing/pictures";
import { count } from "./command";

/** Sizes of the photographs of a folder, as users have them: of several aspects, none a multiple of 32. */
const SIZES = [
  { height: 120, width: 166 },
  { height: 125, width: 150 },
  { height: 166, width: 110 },
] as const;
const SHARE_OF_TRAINING = 0.8;
const BORDER = 255;

interface Drawn extends Example {
  readonly name: string;
  readonly split: "train" | "validation";
  readonly height: number;
  readonly width: number;
}

function* drawn(images: number, seed: number): Generator<Drawn> {
  const random = createRandom(seed, "own folder");
  for (let index = 0; index < images; index++) {
    const size = SIZES[random.integer(SIZES.length)]!;
    const split = index < images * SHARE_OF_TRAINING ? "train" : "validation";
    const name = `2012_${String(index).padStart(6, "0")}`;
    yield { ...drawScene(size, seed, split, index), ...size, name, split };
  }
}

/** A folder in the form of PASCAL VOC: cars and persons before a background, as JPEG, with palette PNGs whose borders are 255. */
async function writeVoc(folder: string, images: number, seed: number): Promise<void> {
  const { colors, names } = vocClasses();
  const [car, person] = [names.indexOf("car"), names.indexOf("person")];
  const palette = Array.from({ length: 256 }, (_, value) =>
    value === BORDER ? [224, 224, 192] : (colors[value] ?? [0, 0, 0]),
  );
  const lists = { train: "", validation: "" };
  for (const { name, split, image, label, height, width } of drawn(images, seed)) {
    const values = label.map((value) => (value === CAR ? car : value === PEDESTRIAN ? person : 0));
    const isBorder = (at: number): boolean =>
      [at - 1, at + 1, at - width, at + width].some(
        (near) => values[near] !== undefined && values[near] !== values[at],
      );
    await writeJpeg(join(folder, "JPEGImages", `${name}.jpg`), image, height, width);
    await writePalette(
      join(folder, "SegmentationClass", `${name}.png`),
      height,
      width,
      Array.from(values, (value, at) => (isBorder(at) ? BORDER : value)),
      palette,
    );
    lists[split] += `${name}\n`;
  }
  await writeText(join(folder, "ImageSets", "Segmentation", "train.txt"), lists.train);
  await writeText(join(folder, "ImageSets", "Segmentation", "val.txt"), lists.validation);
}

/** A folder as CamVid has on Kaggle: class_dict.csv, train/, train_labels/NAME_L.png with colours, and void where nothing is labelled. */
async function writeKaggle(folder: string, images: number, seed: number): Promise<void> {
  const { classes, colors } = streetsInfo;
  const rows = classes.map((name, index) => `${name},${colors[index]!.join(",")}`);
  await writeText(join(folder, "class_dict.csv"), ["name,r,g,b", ...rows, "Void,0,0,0", ""].join("\n"));
  for (const { name, split, image, label, height, width } of drawn(images, seed)) {
    const part = split === "train" ? "train" : "val";
    await writeJpeg(join(folder, part, `${name}.jpg`), image, height, width);
    const pixels = Array.from(label, (value) => colors[value] ?? [0, 0, 0]);
    await writeColors(join(folder, `${part}_labels`, `${name}_L.png`), height, width, pixels);
  }
}

async function writeJpeg(path: string, image: Uint8Array, height: number, width: number): Promise<void> {
  await mkdir(join(path, ".."), { recursive: true });
  const raw = { width, height, channels: 3 } as const;
  await writeFile(path, await sharp(image, { raw }).jpeg({ quality: 90 }).toBuffer());
}

/** Writers of folders as users bring them, drawn from (images, seed). */
export const ownFolders = { voc: writeVoc, kaggle: writeKaggle };

const usage = "npx tsx tests/ownFolders.ts voc|kaggle <folder> [--images 200] [--seed 1]";

async function main(args: string[]): Promise<void> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: { images: { type: "string", default: "200" }, seed: { type: "string", default: "1" } },
  });
  const [kind, folder] = positionals;
  if (folder === undefined || (kind !== "voc" && kind !== "kaggle"))
    throw new LatheError("INVALID_ARGUMENT", `the kind or the folder is missing: ${usage}`);
  await ownFolders[kind](resolve(folder), count("images", values.images, usage), count("seed", values.seed, usage));
}

if (require.main === module) void main(process.argv.slice(2));
