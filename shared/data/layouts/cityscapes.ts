import { join } from "node:path";
import { datasetFault, IGNORE, type DatasetInfo } from "../dataset";
import { exists, listNames, requireFolder } from "../reading";
import { plainValues } from "../coding";
import { type Layout, type Pair } from "./layout";

/** Evaluated classes: name, colour, label id. The train id is the index in this list. */
const CLASSES: readonly (readonly [string, readonly [number, number, number], number])[] = [
  ["road", [128, 64, 128], 7],
  ["sidewalk", [244, 35, 232], 8],
  ["building", [70, 70, 70], 11],
  ["wall", [102, 102, 156], 12],
  ["fence", [190, 153, 153], 13],
  ["pole", [153, 153, 153], 17],
  ["traffic light", [250, 170, 30], 19],
  ["traffic sign", [220, 220, 0], 20],
  ["vegetation", [107, 142, 35], 21],
  ["terrain", [152, 251, 152], 22],
  ["sky", [70, 130, 180], 23],
  ["person", [220, 20, 60], 24],
  ["rider", [255, 0, 0], 25],
  ["car", [0, 0, 142], 26],
  ["truck", [0, 0, 70], 27],
  ["bus", [0, 60, 100], 28],
  ["train", [0, 80, 100], 31],
  ["motorcycle", [0, 0, 230], 32],
  ["bicycle", [119, 11, 32], 33],
];

const LAST_LABEL_ID = 33;
const IMAGE_SUFFIX = "_leftImg8bit.png";

const cityscapesInfo: DatasetInfo = {
  kind: "cityscapes",
  classes: CLASSES.map(([name]) => name),
  colors: CLASSES.map(([, color]) => color),
};

/** Maps label ids to train ids. Ids 0..33 without an evaluated class are ignored, and so is 255 (licence plate, id -1). */
function labelIdMap(): number[] {
  const map = plainValues(0);
  for (let id = 0; id <= LAST_LABEL_ID; id++) map[id] = IGNORE;
  CLASSES.forEach(([, , id], trainId) => (map[id] = trainId));
  return map;
}

/**
 * Cityscapes: leftImg8bit/{train,val}/<city>/x_leftImg8bit.png with gtFine/{train,val}/<city>/x_gtFine_labelTrainIds.png,
 * or x_gtFine_labelIds.png if the first example has no train ids.
 */
export async function cityscapesLayout(path: string): Promise<Layout> {
  await requireFolder(path, "cityscapes folder");
  const train = await listSplit(path, "train");
  const validation = await listSplit(path, "val");
  const first = train[0] ?? validation[0];
  const hasTrainIds = first !== undefined && (await exists(labelPath(first, "labelTrainIds")));
  const withLabels = (stems: readonly Stem[]): Pair[] =>
    stems.map((stem) => ({ image: stem.image, label: labelPath(stem, hasTrainIds ? "labelTrainIds" : "labelIds") }));
  return {
    info: cityscapesInfo,
    train: withLabels(train),
    validation: withLabels(validation),
    coding: { values: hasTrainIds ? plainValues(CLASSES.length) : labelIdMap() },
    faults: [],
    notes: [],
  };
}

interface Stem {
  readonly image: string;
  readonly label: string;
}

const labelPath = (stem: Stem, kind: string): string => `${stem.label}_gtFine_${kind}.png`;

async function listSplit(path: string, split: string): Promise<Stem[]> {
  const images = join(path, "leftImg8bit", split);
  const stems: Stem[] = [];
  for (const city of await listNames(images)) {
    for (const name of await listNames(join(images, city), IMAGE_SUFFIX)) {
      const label = join(path, "gtFine", split, city, name.slice(0, -IMAGE_SUFFIX.length));
      stems.push({ image: join(images, city, name), label });
    }
  }
  if (stems.length === 0) throw datasetFault(`${images} has no file <city>/*${IMAGE_SUFFIX}, at least 1 is needed`);
  return stems;
}
