import { join } from "node:path";
import type { DatasetSpec } from "../../proto/lathe/v1/spec";
import { plainValues, UNKNOWN, type LabelCoding } from "../coding";
import { clip, datasetFault, IGNORE } from "../dataset";
import { exists, requireFolder } from "../reading";
import { arrangementOf, isVoc } from "./arrangements";
import { givenClasses, listedClasses, tabulatedClasses, type ClassList } from "./classes";
import { readLines, type Layout } from "./layout";
import { passedOverLine } from "./listing";
import { pairSplit, type Suffixes } from "./pairs";
import { vocClasses } from "./voc";

/** The settings of a folder in a spec (proto/lathe/v1/spec.proto, DatasetSpec). */
export type FolderSpec = Pick<
  DatasetSpec,
  | "classes"
  | "labelValues"
  | "ignoreValues"
  | "reduceZeroLabel"
  | "imageSuffix"
  | "labelSuffix"
  | "trainList"
  | "validationList"
>;

/**
 * A user's own data set, in one of the arrangements of docs/own-data.md. Its classes come from the spec, classes.txt, class_dict.csv or the
 * form of PASCAL VOC. Every fault of the names of its files is told at once.
 */
export async function folderLayout(path: string, spec: FolderSpec): Promise<Layout> {
  await requireFolder(path, "dataset folder");
  const classes = await classListOf(path, spec);
  const coding = codingOf(classes, spec);
  return {
    info: { kind: "folder", classes: classes.names, colors: classes.colors },
    coding,
    ...(await folderPairs(path, spec)),
  };
}

/** The pairs of both splits of a folder. They do not depend on its classes. */
export async function folderPairs(
  path: string,
  spec: FolderSpec,
): Promise<Pick<Layout, "train" | "validation" | "faults" | "notes">> {
  const roots = await arrangementOf(path, { train: spec.trainList, validation: spec.validationList });
  const suffixes = { image: spec.imageSuffix, label: spec.labelSuffix };
  const train = await pairSplit(path, "train", roots.train, suffixes);
  const validation = await pairSplit(path, "validation", roots.validation, suffixes);
  // Splits by list share their folders.
  const once = roots.train.images === roots.validation.images;
  const passedOver = passedOverLine([...train.passedOver, ...(once ? [] : validation.passedOver)]);
  const found = suffixes.image === "" && suffixes.label === "" ? suffixLine(train.suffixes) : undefined;
  return {
    train: train.pairs,
    validation: validation.pairs,
    faults: [...train.faults, ...validation.faults],
    notes: [passedOver, found].filter((note) => note !== undefined),
  };
}

function suffixLine({ image, label }: Suffixes): string | undefined {
  const ends = [
    ...(image === "" ? [] : [`names of images end in ${image}`]),
    ...(label === "" ? [] : [`names of labels end in ${label}`]),
  ];
  return ends.length > 0 ? `${ends.join(", ")}, where they pair` : undefined;
}

async function classListOf(path: string, spec: FolderSpec): Promise<ClassList> {
  if (spec.classes.length > 0) return givenClasses(spec.classes);
  const [text, table] = [join(path, "classes.txt"), join(path, "class_dict.csv")];
  if (await exists(text)) return listedClasses(await readLines(text), text);
  if (await exists(table)) return tabulatedClasses(await readLines(table), table);
  if (await isVoc(path)) return vocClasses();
  throw datasetFault(
    `${text} does not exist: name the classes there, one a line ("name" or "name r g b"), in class_dict.csv or in dataset.classes of the spec, which "lathe init" proposes`,
    "NOT_FOUND",
  );
}

/** The meaning of stored values and colours, from the list of classes and the spec. */
function codingOf({ names, masks, source, byColor }: ClassList, spec: FolderSpec): LabelCoding {
  const given = Object.entries(spec.labelValues);
  const advice = {
    values: "dataset.label_values and dataset.ignore_values of the spec say what other values mean",
    colors: masks
      ? `${source} has no such colour; add it${byColor ? ", with the name void if it is no class" : ""}`
      : `${source} must give each class a colour of its own, "name r g b"`,
  };
  const colors = masks && { colors: masks };
  if (byColor && given.length === 0) return { ...colors, advice };
  const values = given.length > 0 ? new Array<number>(256).fill(UNKNOWN) : plainValues(names.length);
  if (spec.reduceZeroLabel) values.unshift(IGNORE);
  values[IGNORE] = IGNORE;
  for (const [value, name] of given) {
    const at = names.indexOf(name);
    if (at < 0)
      throw datasetFault(
        `dataset.label_values["${value}"] is "${clip(name)}", which is no class of ${source}: ${clip(names.join(", "))}`,
      );
    values[Number(value)] = at;
  }
  for (const value of spec.ignoreValues) values[value] = IGNORE;
  return { values: values.slice(0, 256), ...colors, advice };
}
