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

/** How pairs are divided where there are no splits. */
export interface Division {
  /** Share of the pairs for validation. */
  readonly validation: number;
  readonly seed: number;
  /** So many pairs of consecutive names stay together. */
  readonly together: number;
}

/**
 * Divides pairs: by folders that are named after the splits, else at random. Images of consecutive names stay together where that is asked
 * for, and images of equal content always, because one of them in training would spoil the validation. Both splits have at least one pair.
 */
export async function divide(
  path: string,
  pairs: readonly Pair[],
  { validation: share, seed, together }: Division,
): Promise<Divided> {
  const inFolder = (pattern: RegExp): Pair[] =>
    pairs.filter(({ image }) =>
      relative(path, image)
        .split(sep)
        .slice(0, -1)
        .some((name) => pattern.test(name)),
    );
  const [train, validation] = [inFolder(TRAIN), inFolder(VALIDATION)];
  if (train.length > 0 && validation.length > 0) return { train, validation, how: "by the names of their folders" };
  const groups = await joined(runs(pairs, together));
  if (groups.length < 2)
    throw datasetFault(
      `${path} has ${groups.length} group of images to divide, must have at least 2, one for each split: images of equal content are a group${together > 1 ? `, and so are ${together} of consecutive names` : ""}`,
    );
  const order = createRandom(seed, "init/split").shuffle(groups);
  const wanted = Math.max(1, Math.round(share * pairs.length));
  const taken = new Set<Pair>();
  for (const group of order.slice(1))
    if (taken.size + group.length <= wanted) for (const pair of group) taken.add(pair);
  // Where every group is larger than the share, the smallest is the nearest to it.
  if (taken.size === 0) for (const pair of order.reduce((a, b) => (b.length < a.length ? b : a))) taken.add(pair);
  const kept = together > 1 ? `, ${together} images of consecutive names together` : "";
  return {
    train: pairs.filter((pair) => !taken.has(pair)),
    validation: pairs.filter((pair) => taken.has(pair)),
    how: `at random with seed ${seed}, ${Math.round((100 * taken.size) / pairs.length)} % for validation${kept}`,
  };
}

/** Pairs in runs of `length` of consecutive names. */
function runs(pairs: readonly Pair[], length: number): Pair[][] {
  if (length === 1) return pairs.map((pair) => [pair]);
  const sorted = [...pairs].sort((a, b) => BY_NUMBER.compare(a.image, b.image));
  return Array.from({ length: Math.ceil(sorted.length / length) }, (_, run) =>
    sorted.slice(run * length, (run + 1) * length),
  );
}

/** Orders "frame9" before "frame10". */
const BY_NUMBER = new Intl.Collator("en", { numeric: true });

/** Groups, joined where they have an image of equal content. */
async function joined(groups: readonly Pair[][]): Promise<Pair[][]> {
  const ofContent = new Map<string, { pairs: Pair[]; contents: string[] }>();
  for (const pairs of groups) {
    const contents: string[] = [];
    for (const { image } of pairs) contents.push(sha256(await readBytes(image, "image", MAX_IMAGE_BYTES)));
    const others = new Set(contents.flatMap((content) => ofContent.get(content) ?? []));
    const whole = {
      pairs: [...[...others].flatMap((other) => other.pairs), ...pairs],
      contents: [...new Set([...[...others].flatMap((other) => other.contents), ...contents])],
    };
    for (const content of whole.contents) ofContent.set(content, whole);
  }
  return [...new Set(ofContent.values())].map(({ pairs }) => pairs);
}

/** The lines of a list: "image label" below the folder, or the image alone where a path has a space. */
export function listText(path: string, pairs: readonly Pair[]): string {
  const line = ({ image, label }: Pair): string => {
    const [first, second] = [relative(path, image), relative(path, label)];
    return /\s/.test(first + second) ? first : `${first} ${second}`;
  };
  return pairs.map((pair) => `${line(pair)}\n`).join("");
}
