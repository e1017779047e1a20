import { relative, sep } from "node:path";
import { datasetFault } from "../../shared/data/dataset";
import { sha256 } from "../../shared/data/fingerprint";
import type { Pair } from "../../shared/data/layouts/layout";
import { MAX_IMAGE_BYTES, readBytes } from "../../shared/data/reading";
import { createRandom } from "../../shared/engine/random";

/** Pairs of both splits, and how they were divided. */
export interface Divided {
  readonly train: readonly Pair[];
  readonly validation: readonly Pair[];
  readonly how: string;
}

/** Folders whose names say to which split their files belong, as in "train2017/7.jpg". */
const TRAIN = /^train/i;
const VALIDATION = /^val/i;

/**
 * Divides pairs: by folders that are named after the splits, else at random by a seed. Images of equal content stay together, because one of
 * them in training would spoil the validation. Both splits have at least one pair.
 */
export async function divide(path: string, pairs: readonly Pair[], share: number, seed: number): Promise<Divided> {
  const inFolder = (pattern: RegExp): Pair[] =>
    pairs.filter(({ image }) =>
      relative(path, image)
        .split(sep)
        .slice(0, -1)
        .some((name) => pattern.test(name)),
    );
  const [train, validation] = [inFolder(TRAIN), inFolder(VALIDATION)];
  if (train.length > 0 && validation.length > 0) return { train, validation, how: "by the names of their folders" };
  const groups = new Map<string, Pair[]>();
  for (const pair of pairs) {
    const key = sha256(await readBytes(pair.image, "image", MAX_IMAGE_BYTES));
    groups.set(key, [...(groups.get(key) ?? []), pair]);
  }
  if (groups.size < 2)
    throw datasetFault(
      `${path} has ${groups.size} image to divide, must have at least 2 of different content: one for each split`,
    );
  const order = createRandom(seed, "init/split").shuffle([...groups.values()]);
  const wanted = Math.max(1, Math.round(share * pairs.length));
  const taken = new Set<Pair>();
  for (const group of order.slice(1)) if (taken.size < wanted) for (const pair of group) taken.add(pair);
  return {
    train: pairs.filter((pair) => !taken.has(pair)),
    validation: pairs.filter((pair) => taken.has(pair)),
    how: `at random with seed ${seed}, ${Math.round(100 * share)} % for validation`,
  };
}

/** The lines of a list: "image label" below the folder, or the image alone where a path has a space. */
export function listText(path: string, pairs: readonly Pair[]): string {
  const line = ({ image, label }: Pair): string => {
    const [first, second] = [relative(path, image), relative(path, label)];
    return /\s/.test(first + second) ? first : `${first} ${second}`;
  };
  return pairs.map((pair) => `${line(pair)}\n`).join("");
}
