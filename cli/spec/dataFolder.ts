import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { givenClasses, listedClasses, tabulatedClasses, type ClassList } from "../../shared/data/layouts/classes";
import { requireNone } from "../../shared/data/faults";
import { folderLayout } from "../../shared/data/layouts/folder";
import { linesOf } from "../../shared/data/layouts/layout";
import { vocClasses } from "../../shared/data/layouts/voc";
import { DatasetKind, type DatasetSpec } from "../../shared/proto/lathe/v1/spec";

/**
 * Number of classes of a data folder on this machine, by the same sources as a worker takes (shared/data/layouts/folder.ts); undefined where
 * there is none. `read` reads a list. DATASET_INVALID names the line of a list that is wrong.
 */
export function folderClasses(dataset: DatasetSpec, read: (path: string) => string): number | undefined {
  return classList(dataset, read)?.names.length;
}

function classList({ classes, path = "" }: DatasetSpec, read: (path: string) => string): ClassList | undefined {
  if (classes.length > 0) return givenClasses(classes);
  const [text, table] = [join(path, "classes.txt"), join(path, "class_dict.csv")];
  if (existsSync(text)) return listedClasses(linesOf(read(text), text), text);
  if (existsSync(table)) return tabulatedClasses(linesOf(read(table), table), table);
  const isFolder = (name: string): boolean =>
    statSync(join(path, name), { throwIfNoEntry: false })?.isDirectory() === true;
  return isFolder("JPEGImages") && isFolder("SegmentationClass") ? vocClasses() : undefined;
}

/**
 * Lists the files of a data folder on this machine, and returns what a user may want to know about them, one line each; none for other data
 * sets. DATASET_INVALID names files that do not pair.
 */
export async function folderNotes(dataset: DatasetSpec): Promise<readonly string[]> {
  if (dataset.kind !== DatasetKind.DATASET_KIND_FOLDER) return [];
  const { faults, notes } = await folderLayout(dataset.path ?? "", dataset);
  requireNone(faults);
  return notes;
}
