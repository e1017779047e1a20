import { join } from "node:path";
import type { Pair } from "../../shared/data/layouts/layout";
import { listFiles, withoutExtension } from "../../shared/data/layouts/listing";

/** Ends of the names of labels that lie beside their images. */
const LABEL_ENDS = [
  "_mask",
  "_label",
  "_labels",
  "_gt",
  "_seg",
  "_segmentation",
  "_annotation",
  "_L",
  "-mask",
  ".mask",
];
const LABEL_FORMAT = /\.(png|bmp)$/i;

/**
 * Pairs of images and labels that lie side by side: labels end in one of the usual suffixes, or have the name of a JPEG. Empty where not
 * every image has one label.
 */
export async function mixedPairs(path: string): Promise<Pair[]> {
  const { files } = await listFiles(path);
  for (const end of LABEL_ENDS) {
    const labels = files.filter((file) => withoutExtension(file).endsWith(end) && LABEL_FORMAT.test(file));
    const byStem = new Map(labels.map((file) => [withoutExtension(file).slice(0, -end.length), file]));
    const pairs = paired(path, files, byStem, new Set(labels));
    if (pairs.length > 0) return pairs;
  }
  const labels = files.filter((file) => LABEL_FORMAT.test(file));
  return paired(path, files, new Map(labels.map((file) => [withoutExtension(file), file])), new Set(labels));
}

function paired(
  path: string,
  files: readonly string[],
  byStem: ReadonlyMap<string, string>,
  labels: ReadonlySet<string>,
): Pair[] {
  const images = files.filter((file) => !labels.has(file));
  const pairs = images.flatMap((image) => {
    const label = byStem.get(withoutExtension(image));
    return label === undefined ? [] : [{ image: join(path, image), label: join(path, label) }];
  });
  return pairs.length === images.length && pairs.length === labels.size ? pairs : [];
}
