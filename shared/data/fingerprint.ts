import { createHash } from "node:crypto";
import { relative, sep } from "node:path";
import type { LabelCoding } from "./coding";
import type { Pair } from "./layouts/layout";

/** Splits of more examples have no digests by file: an event carries them. */
const MOST_FILES = 2000;
/** Bytes of a digest that stand for a file. */
const SHORT = 3;

/** The first bytes of the digests of an example's names and contents. */
interface ShortDigests {
  readonly names: string;
  readonly contents: string;
}

/** The identity of a split: a digest of all of it, and short digests by example. */
interface SplitPrint {
  readonly sha256: string;
  /** As SplitFigures.files. */
  readonly files: string;
}

/** The digest of a text or a file, hexadecimal. */
export const sha256 = (content: string | Uint8Array): string => createHash("sha256").update(content).digest("hex");

/**
 * Identifies a split of files: their names below the data folder and contents, in their order. `digestOf` gives the SHA-256 of the content
 * of a file.
 */
export function splitPrint(folder: string, pairs: readonly Pair[], digestOf: (path: string) => string): SplitPrint {
  const nameOf = (path: string): string => relative(folder, path).split(sep).join("/");
  const rows = pairs.map(({ image, label }) => ({
    names: JSON.stringify([nameOf(image), nameOf(label)]),
    contents: `${digestOf(image)} ${digestOf(label)}`,
  }));
  const all = sha256(rows.map(({ names, contents }) => `${names} ${contents}\n`).join(""));
  const short = rows.flatMap(({ names, contents }) =>
    [names, contents].map((text) => sha256(text).slice(0, 2 * SHORT)),
  );
  return { sha256: all, files: rows.length > MOST_FILES ? "" : Buffer.from(short.join(""), "hex").toString("base64") };
}

/** Identifies a split of generated scenes, which follow from seed, split and number. */
export const scenesPrint = (seed: number, split: string, length: number): SplitPrint => ({
  sha256: sha256(JSON.stringify(["streets", seed, split, length])),
  files: "",
});

/** Identifies what the pixels of labels mean: names of the classes, and the class of each value and colour. */
export function codingPrint(classes: readonly string[], { values, colors }: Partial<LabelCoding>): string {
  const byColor = colors && [...colors].sort(([one], [other]) => one - other);
  return sha256(JSON.stringify([classes, values ?? null, byColor ?? null]));
}

/** The fingerprint of a data set. */
export const dataPrint = (coding: string, train: string, validation: string): string =>
  sha256([coding, train, validation].map((digest) => `${digest}\n`).join(""));

/** The short digests by example of SplitFigures.files. */
export function shortDigests(files: string): ShortDigests[] {
  const text = Buffer.from(files, "base64").toString("hex");
  const part = (at: number): string => text.slice(2 * SHORT * at, 2 * SHORT * (at + 1));
  return Array.from({ length: text.length / (4 * SHORT) }, (_, example) => ({
    names: part(2 * example),
    contents: part(2 * example + 1),
  }));
}
