import { join } from "node:path";
import type { LatheError } from "../../process/errors";
import { clip, fileFault, type DatasetInfo } from "../dataset";
import { requireFolder } from "../reading";
import { plainValues } from "../coding";
import { readLines, type Layout, type Pair } from "./layout";

/** The 11 classes of CamVid as SegNet grouped them, in label order. */
const camvidInfo: DatasetInfo = {
  kind: "camvid",
  classes: ["sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "bicyclist"],
  colors: [
    [128, 128, 128],
    [128, 0, 0],
    [192, 192, 128],
    [128, 64, 128],
    [60, 40, 222],
    [128, 128, 0],
    [192, 128, 128],
    [64, 64, 128],
    [64, 0, 128],
    [64, 64, 0],
    [0, 128, 192],
  ],
};

const UNLABELLED = 11;

/** CamVid: train.txt and val.txt with a line "image label" per example, relative to the folder; label 11 is unlabelled. */
export async function camvidLayout(path: string): Promise<Layout> {
  await requireFolder(path, "camvid folder");
  const train = await readList(path, "train.txt");
  const validation = await readList(path, "val.txt");
  return {
    info: camvidInfo,
    train: train.pairs,
    validation: validation.pairs,
    coding: { values: plainValues(camvidInfo.classes.length, [UNLABELLED]) },
    faults: [...train.faults, ...validation.faults],
    notes: [],
  };
}

async function readList(folder: string, list: string): Promise<{ pairs: Pair[]; faults: LatheError[] }> {
  const path = join(folder, list);
  const pairs: Pair[] = [];
  const faults: LatheError[] = [];
  for (const { text, number } of await readLines(path)) {
    const [image, label, ...rest] = text.split(/\s+/);
    if (image !== undefined && label !== undefined && rest.length === 0)
      pairs.push({ image: join(folder, image), label: join(folder, label) });
    else
      faults.push(
        fileFault(
          'lines that are not "image label"',
          `${list}:${number}`,
          `${path} line ${number} is "${clip(text)}", must be "image label"`,
        ),
      );
  }
  return { pairs, faults };
}
