import type { DatasetFigures, SplitFigures } from "../proto/lathe/v1/result";
import type { Dataset, Split } from "./dataset";
import { shortDigests } from "./fingerprint";

/** Names of files in a message. */
const NAMES_TO_TELL = 5;

/** The names of the examples of both splits. */
interface Names {
  readonly train: Pick<Split, "name">;
  readonly validation: Pick<Split, "name">;
}

/** Why the data of a data set is not that of the first epoch of its search, in one sentence; undefined where it is the same. */
export function dataChange(
  recorded: DatasetFigures | undefined,
  read: DatasetFigures,
  { train, validation }: Names,
): string | undefined {
  if (recorded === undefined || recorded.sha256 === read.sha256) return undefined;
  const changes = [
    ...splitChange("training", recorded.train, read.train, train),
    ...splitChange("validation", recorded.validation, read.validation, validation),
    ...codingChange(recorded, read),
  ];
  return `the data is not that of the first epoch (${prints(recorded, read)}): ${changes.join("; ")}`;
}

/**
 * Why a mIoU on the validation split of a data set does not compare with those of a search, in one sentence; undefined where it does. Only
 * this split and the meaning of its labels count, and only it needs to be read.
 */
export async function validationChange(
  recorded: DatasetFigures | undefined,
  dataset: Dataset,
): Promise<string | undefined> {
  if (!recorded?.validation) return undefined;
  const read = await dataset.figures();
  const changes = [
    ...splitChange("validation", recorded.validation, read.validation, dataset.validation),
    ...codingChange(recorded, read),
  ];
  if (changes.length === 0) return undefined;
  const which = prints(recorded.validation, read.validation ?? recorded.validation);
  return `the validation data is not that of the search (${which}): ${changes.join("; ")}`;
}

/** Two fingerprints, shortened. */
function prints(recorded: { sha256: string }, read: { sha256: string }): string {
  const [was, is] = [recorded.sha256, read.sha256].map((digest) => digest.slice(0, 12));
  return `fingerprint ${was}, now ${is}`;
}

const codingChange = (recorded: DatasetFigures, read: DatasetFigures): string[] =>
  recorded.codingSha256 === read.codingSha256 ? [] : ["the classes of the labels' values and colours changed"];

/** As dataChange, of an open data set, once all of it has been read. */
export async function changeOf(recorded: DatasetFigures | undefined, dataset: Dataset): Promise<string | undefined> {
  return recorded && dataChange(recorded, await dataset.figures(), dataset);
}

/** The change of a split, as a list of one sentence or none. */
function splitChange(
  what: string,
  recorded: SplitFigures | undefined,
  read: SplitFigures | undefined,
  split: Pick<Split, "name">,
): string[] {
  if (!recorded || !read || recorded.sha256 === read.sha256) return [];
  if (recorded.examples !== shortDigests(recorded.files).length || read.files === "")
    return [`${what} split: ${recorded.examples} examples, now ${read.examples}, with other names or contents`];
  const before = new Map(shortDigests(recorded.files).map(({ names, contents }) => [names, contents]));
  const now = shortDigests(read.files).map((digests, index) => ({ ...digests, index }));
  const kept = new Set(now.map(({ names }) => names));
  const named = (list: typeof now): string => {
    const shown = list.slice(0, NAMES_TO_TELL).map(({ index }) => split.name(index));
    return `${list.length} (${shown.join(", ")}${list.length > shown.length ? ", ..." : ""})`;
  };
  const changed = now.filter(({ names, contents }) => before.has(names) && before.get(names) !== contents);
  const added = now.filter(({ names }) => !before.has(names));
  const removed = [...before.keys()].filter((names) => !kept.has(names)).length;
  const parts = [
    ...(changed.length > 0 ? [`changed ${named(changed)}`] : []),
    ...(added.length > 0 ? [`added ${named(added)}`] : []),
    ...(removed > 0 ? [`removed ${removed}`] : []),
  ];
  return [`${what} split: examples ${parts.length > 0 ? parts.join(", ") : "in another order or number"}`];
}
