import { join, parse, relative } from "node:path";
import type { LatheError } from "../../process/errors";
import { clip, datasetFault, fileFault } from "../dataset";
import { listFiles, withoutExtension } from "./listing";
import { readLines, type Line, type Pair } from "./layout";

/** The folders of a split. */
export interface Roots {
  readonly images: string;
  readonly labels: string;
  /** File that lists the examples of the split; absent: all files of the folders are examples. */
  readonly list?: string;
}

/** Ends of file names that images and labels do not share, with or without the extension; "" for none. */
export interface Suffixes {
  readonly image: string;
  readonly label: string;
}

/** The examples of a split, and all faults of its names. */
interface Paired {
  readonly pairs: readonly Pair[];
  readonly faults: readonly LatheError[];
  readonly passedOver: readonly string[];
  /** The suffixes that hold, given or found. */
  readonly suffixes: Suffixes;
}

/** Pairs images and labels of the same path below their folders, without suffix and extension. */
export async function pairSplit(folder: string, split: string, roots: Roots, given: Suffixes): Promise<Paired> {
  const images = await listFiles(roots.images);
  const labels = await listFiles(roots.labels);
  const passedOver = [...images.passedOver, ...labels.passedOver];
  const isGiven = given.image !== "" || given.label !== "";
  const suffixes = isGiven ? given : commonSuffixes(images.files, labels.files);
  const byKey = { images: keyed(images.files, suffixes.image), labels: keyed(labels.files, suffixes.label) };
  const found = { roots, suffixes, ...byKey, passedOver };
  const listed =
    roots.list === undefined ? allPairs(split, found) : listedPairs(folder, found, await readLines(roots.list));
  return { ...listed, passedOver, suffixes };
}

/** Files of a split by key: a path below its folder without suffix and extension. */
interface Found {
  readonly roots: Roots;
  readonly suffixes: Suffixes;
  readonly images: ReadonlyMap<string, readonly string[]>;
  readonly labels: ReadonlyMap<string, readonly string[]>;
  readonly passedOver: readonly string[];
}

function allPairs(split: string, found: Found): Pick<Paired, "pairs" | "faults"> {
  const { roots, images, labels } = found;
  const pairs: Pair[] = [];
  const faults: LatheError[] = [];
  const twice = (root: string, files: readonly string[], key: string, what: string): void => {
    if (files.length < 2) return;
    const fault = `${root} has two ${what} named ${key}: ${files.join(", ")}`;
    faults.push(fileFault(`names of two ${what}`, join(root, files[0]!), fault));
  };
  for (const [key, files] of images) {
    twice(roots.images, files, key, "images");
    const label = labels.get(key)?.[0];
    if (label !== undefined) pairs.push({ image: join(roots.images, files[0]!), label: join(roots.labels, label) });
    else faults.push(withoutLabel(found, key, files[0]!));
  }
  for (const [key, files] of labels) {
    twice(roots.labels, files, key, "labels");
    const file = join(roots.labels, files[0]!);
    if (!images.has(key))
      faults.push(fileFault("labels without an image", file, `label ${file} has no image named ${key}`));
  }
  if (pairs.length === 0 && faults.length === 0) faults.push(datasetFault(`${split} split ${roots.images} is empty`));
  return { pairs, faults };
}

/** A line names an image, by its key or its path, or an image and a label by their paths below the data set's folder. */
function listedPairs(folder: string, found: Found, lines: readonly Line[]): Pick<Paired, "pairs" | "faults"> {
  const { roots, suffixes, images, labels } = found;
  const pairs: Pair[] = [];
  const faults: LatheError[] = [];
  const keyOf = (name: string): string => {
    const below = relative(roots.images, join(folder, name));
    const path = withoutExtension(below.startsWith("..") ? name : below);
    return images.has(path) ? path : (stripped(path, suffixes.image) ?? path);
  };
  for (const { text, number } of lines) {
    const place = `${roots.list} line ${number}`;
    const key = keyOf(text);
    const [image, label] = [images.get(key)?.[0], labels.get(key)?.[0]];
    const [first, second, ...rest] = text.split(/\s+/);
    if (image !== undefined && label !== undefined)
      pairs.push({ image: join(roots.images, image), label: join(roots.labels, label) });
    else if (image !== undefined) faults.push(withoutLabel(found, key, image, `${place}: `));
    else if (second !== undefined && rest.length === 0)
      pairs.push({ image: join(folder, first!), label: join(folder, second) });
    else {
      const fault = `${place} is "${clip(text)}", which is no image below ${roots.images}`;
      faults.push(fileFault("lines that name no image", `${roots.list}:${number}`, fault));
    }
  }
  if (lines.length === 0) faults.push(datasetFault(`${roots.list} names no example`));
  return { pairs, faults };
}

/** A label of another format is passed over, so the fault names it. */
function withoutLabel({ roots, suffixes, passedOver }: Found, key: string, image: string, place = ""): LatheError {
  const suffix = suffixes.label;
  const name = suffix.includes(".") ? `${key}${suffix}` : `${key}${suffix}.png`;
  const other = passedOver.find((one) => parse(one).name === parse(name).name);
  const instead = other === undefined ? "" : `; ${other} is there, but a label must be a PNG or BMP`;
  const file = join(roots.images, image);
  return fileFault("images without a label", file, `${place}image ${file} has no label ${name}${instead}`);
}

function keyed(files: readonly string[], suffix: string): Map<string, string[]> {
  const byKey = new Map<string, string[]>();
  for (const file of files) {
    const key = suffix.includes(".") ? stripped(file, suffix) : stripped(withoutExtension(file), suffix);
    // A file without the suffix belongs to something else that lies beside.
    if (key === undefined) continue;
    const known = byKey.get(key);
    if (known) known.push(file);
    else byKey.set(key, [file]);
  }
  return byKey;
}

const stripped = (name: string, suffix: string): string | undefined =>
  name.endsWith(suffix) ? name.slice(0, name.length - suffix.length) : undefined;

/** A suffix that is taken for one without being given: "_L", "-mask". */
const SUFFIX = /^([_\-. ][A-Za-z][\w\-. ]*)?$/;

/** Labels that are tried as the one of the first image. */
const TRIED = 16;

/**
 * The suffixes by which all images and labels pair, taken from the first image and the labels whose names are nearest to its; none where
 * names pair without, or where they do not pair so either.
 */
function commonSuffixes(images: readonly string[], labels: readonly string[]): Suffixes {
  const none = { image: "", label: "" };
  const stems = { images: images.map(withoutExtension), labels: new Set(labels.map(withoutExtension)) };
  const [image] = stems.images;
  if (image === undefined || stems.images.length !== stems.labels.size) return none;
  if (stems.images.some((stem) => stems.labels.has(stem))) return none;
  const pairBy = (suffixes: Suffixes): boolean =>
    stems.images.every((stem) => stems.labels.has(`${stripped(stem, suffixes.image) ?? ""}${suffixes.label}`));
  const near = [...stems.labels].map((label) => ({ label, shared: sharedLength(image, label) }));
  for (const { label, shared } of near.sort((a, b) => b.shared - a.shared).slice(0, TRIED)) {
    const suffixes = suffixesOf(image, label, shared);
    if (suffixes && pairBy(suffixes)) return suffixes;
  }
  return none;
}

function sharedLength(one: string, other: string): number {
  let shared = 0;
  while (shared < one.length && one[shared] === other[shared]) shared++;
  return shared;
}

/** The ends of two names behind what they share. "x_img" and "x_image" share "x_im", but their suffixes begin with the separator. */
function suffixesOf(image: string, label: string, shared: number): Suffixes | undefined {
  for (let at = shared; at > 0; at--) {
    const suffixes = { image: image.slice(at), label: label.slice(at) };
    if (SUFFIX.test(suffixes.image) && SUFFIX.test(suffixes.label)) return suffixes;
  }
  return undefined;
}
