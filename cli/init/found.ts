import { join, relative } from "node:path";
import { datasetFault } from "../../shared/data/dataset";
import { requireNone } from "../../shared/data/faults";
import { hasTrainingSplit, undividedRoots } from "../../shared/data/layouts/arrangements";
import { camvidLayout } from "../../shared/data/layouts/camvid";
import { cityscapesLayout } from "../../shared/data/layouts/cityscapes";
import { folderPairs } from "../../shared/data/layouts/folder";
import type { Pair } from "../../shared/data/layouts/layout";
import { pairSplit } from "../../shared/data/layouts/pairs";
import { exists, isFolder, listEntries, requireFolder } from "../../shared/data/reading";
import { DatasetKind, DatasetSpec } from "../../shared/proto/lathe/v1/spec";
import { mixedPairs } from "./mixed";

/** The images and labels of a folder, and what a spec says about them. */
interface Found {
  readonly kind: DatasetKind;
  /** What lies there, in a few words. */
  readonly what: string;
  /** Both splits, or all pairs of a folder that is not divided. */
  readonly pairs: { readonly train: readonly Pair[]; readonly validation: readonly Pair[] } | readonly Pair[];
  /** Fields of the spec that reading the pairs needs, where the kind is folder. */
  readonly fields: Partial<Pick<DatasetSpec, "trainList" | "validationList">>;
}

/** Lists that CamVid and sets like it have beside their folders. */
const LISTS = { trainList: "train.txt", validationList: "val.txt" };

/** Recognises what lies in a folder. DATASET_INVALID says what was looked for and what is there, or names files that do not pair. */
export async function found(path: string): Promise<Found> {
  await requireFolder(path, "dataset folder");
  if (await isFolder(join(path, "leftImg8bit"))) {
    const { train, validation } = await cityscapesLayout(path);
    return { ...ofKind(DatasetKind.DATASET_KIND_CITYSCAPES, "Cityscapes"), pairs: { train, validation } };
  }
  if ((await exists(join(path, LISTS.trainList))) && (await exists(join(path, LISTS.validationList)))) {
    const { train, validation, faults } = await camvidLayout(path);
    if (faults.length === 0)
      return {
        ...ofKind(DatasetKind.DATASET_KIND_CAMVID, "lists train.txt and val.txt"),
        pairs: { train, validation },
        fields: LISTS,
      };
    return divided(path, LISTS);
  }
  const roots = await undividedRoots(path);
  if (roots) {
    const { pairs, faults } = await pairSplit(path, "", roots, { image: "", label: "" });
    requireNone(faults);
    return { ...ofKind(DatasetKind.DATASET_KIND_FOLDER, "images and labels in two folders, without splits"), pairs };
  }
  if (await hasTrainingSplit(path)) return divided(path, {});
  const pairs = await mixedPairs(path);
  const spaced = pairs.find(({ image, label }) => /\s/.test(relative(path, image) + relative(path, label)));
  if (spaced)
    throw datasetFault(
      `${spaced.image} lies beside its label and has a space in its name, which a list of both cannot hold: rename the files, or put images and labels into two folders`,
    );
  if (pairs.length > 0)
    return { ...ofKind(DatasetKind.DATASET_KIND_FOLDER, "images and labels side by side, without splits"), pairs };
  throw datasetFault(
    `${path} is no arrangement of images and labels that Lathe knows: it holds ${await contentOf(path)}; looked for images/ and labels/ (or masks/, annotations/), train/ and val/, JPEGImages/, leftImg8bit/, train.txt and val.txt, and labels beside their images (docs/own-data.md)`,
  );
}

/** The first entries of a folder, and a word on outlines where files of JSON or XML are in it or in a folder of it. */
async function contentOf(path: string): Promise<string> {
  const entries = await listEntries(path);
  const named = entries.slice(0, MOST_ENTRIES).map(({ name, isFolder: folder }) => (folder ? `${name}/` : name));
  const below = entries.filter((entry) => entry.isFolder).map(async ({ name }) => listEntries(join(path, name)));
  const hasOutlines = [...entries, ...(await Promise.all(below)).flat()].some(({ name }) => OUTLINES.test(name));
  const more = entries.length > MOST_ENTRIES ? ", ..." : "";
  const outlines = hasOutlines ? " (outlines in JSON or XML must be drawn as PNG masks first)" : "";
  return `${named.join(", ") || "nothing"}${more}${outlines}`;
}

const OUTLINES = /\.(json|xml)$/i;
const MOST_ENTRIES = 8;

const ofKind = (kind: DatasetKind, what: string): Omit<Found, "pairs"> => ({ kind, what, fields: {} });

async function divided(path: string, fields: Found["fields"]): Promise<Found> {
  const { train, validation, faults } = await folderPairs(path, DatasetSpec.fromPartial(fields));
  requireNone(faults);
  const what = "images and labels in two splits";
  return { kind: DatasetKind.DATASET_KIND_FOLDER, what, pairs: { train, validation }, fields };
}
