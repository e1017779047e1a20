import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { givenClasses, listedClasses, tabulatedClasses, type ClassList } from "../../shared/data/layouts/classes";
import { linesOf } from "../../shared/data/layouts/layout";
import { vocClasses } from "../../shared/data/layouts/voc";
import type { DatasetSpec } from "../../shared/proto/lathe/v1/spec";

/**
 * Class names of a data folder on this machine, by the same sources as a worker takes (shared/data/layouts/folder.ts); undefined where there
 * are none. `read` reads a list. DATASET_INVALID names the line of a list that is wrong.
 */
export function folderClasses(dataset: DatasetSpec, read: (path: string) => string): readonly string[] | undefined {
  return classList(dataset, read)?.names;
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
