import { join, resolve } from "node:path";
import { datasetFault } from "../dataset";
import { exists, isFolder, listEntries } from "../reading";
import type { Roots } from "./pairs";

/** Names of folders, in the order in which they are looked for. */
const IMAGES = ["images", "imgs", "img_dir"];
const LABELS = ["labels", "masks", "annotations", "ann_dir", "stuffthingmaps"];
const VALIDATION = ["validation", "val", "valid"];
/** Folders of the PASCAL VOC challenge. */
const VOC = { images: "JPEGImages", labels: "SegmentationClass", lists: join("ImageSets", "Segmentation") };

/** Where the examples of both splits are. */
interface Arrangement {
  readonly train: Roots;
  readonly validation: Roots;
}

/** Lists that say which examples belong to a split, relative to the folder; "" for none. */
interface Lists {
  readonly train: string;
  readonly validation: string;
}

/** Finds images and labels of both splits in a folder. DATASET_INVALID says which folders were looked for. */
export async function arrangementOf(path: string, lists: Lists): Promise<Arrangement> {
  if (await isVoc(path)) {
    const roots = { images: join(path, VOC.images), labels: join(path, VOC.labels) };
    return listed(path, roots, {
      train: lists.train || join(VOC.lists, "train.txt"),
      validation: lists.validation || join(VOC.lists, "val.txt"),
    });
  }
  const images = await first(path, IMAGES);
  const labels = await first(path, LABELS);
  if (lists.train !== "") return listed(path, { images: images ?? path, labels: labels ?? path }, lists);
  if (images !== undefined && labels !== undefined) return imagesFirst(images, labels);
  const train = join(path, "train");
  const validation = (await first(path, VALIDATION)) ?? join(path, "val");
  if (await isFolder(`${train}_labels`)) return { train: beside(train), validation: beside(validation) };
  return { train: await below(train), validation: await below(validation) };
}

/**
 * Where the examples are that no folder and no list divides into splits: all images and labels of the folder, or those of its split train
 * where there is no other. undefined where both splits are there, or neither images nor labels are.
 */
export async function undividedRoots(path: string): Promise<Roots | undefined> {
  if (await isVoc(path)) {
    const isListed = await exists(join(path, VOC.lists, "train.txt"));
    return isListed ? undefined : { images: join(path, VOC.images), labels: join(path, VOC.labels) };
  }
  const [images, labels] = [await first(path, IMAGES), await first(path, LABELS)];
  if (images !== undefined && labels !== undefined)
    return (await isFolder(join(images, "train"))) ? undefined : { images, labels };
  const train = join(path, "train");
  if ((await first(path, VALIDATION)) !== undefined || !(await isFolder(train))) return undefined;
  if (await isFolder(`${train}_labels`)) return beside(train);
  const roots = await below(train);
  return (await isFolder(roots.images)) && (await isFolder(roots.labels)) ? roots : undefined;
}

/** Whether a folder, or its folder of images, has one for the training split, or images as PASCAL VOC has them. */
export async function hasTrainingSplit(path: string): Promise<boolean> {
  const places = ["train", ...IMAGES.map((images) => join(images, "train")), VOC.images];
  for (const place of places) if (await isFolder(join(path, place))) return true;
  return false;
}

/** Whether a folder has the form of PASCAL VOC. */
export async function isVoc(path: string): Promise<boolean> {
  return (await isFolder(join(path, VOC.images))) && (await isFolder(join(path, VOC.labels)));
}

function listed(path: string, roots: Roots, lists: Lists): Arrangement {
  const of = (list: string): Roots => ({ ...roots, list: resolve(path, list) });
  return { train: of(lists.train), validation: of(lists.validation) };
}

/** images/train and labels/train. */
async function imagesFirst(images: string, labels: string): Promise<Arrangement> {
  const validation = (await Promise.all(VALIDATION.map((name) => isFolder(join(images, name))))).indexOf(true);
  if (!(await isFolder(join(images, "train"))) || validation < 0)
    throw datasetFault(
      `${images} has no folders train and validation: name the files that list the examples of each split, dataset.train_list and dataset.validation_list, or let "lathe init" divide them`,
    );
  const of = (split: string): Roots => ({ images: join(images, split), labels: join(labels, split) });
  return { train: of("train"), validation: of(VALIDATION[validation]!) };
}

/** train and train_labels. */
const beside = (split: string): Roots => ({ images: split, labels: `${split}_labels` });

/** train/images and train/labels. */
async function below(split: string): Promise<Roots> {
  const images = (await first(split, IMAGES)) ?? join(split, "images");
  const labels = (await first(split, LABELS)) ?? join(split, "labels");
  return { images, labels };
}

/** The first of some folders that exists, in any case of its letters. */
async function first(path: string, names: readonly string[]): Promise<string | undefined> {
  if (!(await isFolder(path))) return undefined;
  const folders = (await listEntries(path)).filter((entry) => entry.isFolder).map(({ name }) => name);
  for (const name of names) {
    const found = folders.includes(name) ? name : folders.find((folder) => folder.toLowerCase() === name);
    if (found !== undefined) return join(path, found);
  }
  return undefined;
}
