import { LatheError } from "../../process/errors";
import { DecodedCache } from "../cache";
import type { Classes } from "../coding";
import type { Example } from "../dataset";
import type { Counts } from "../coverage";
import { checkAll } from "../faults";
import { checkPair, loadLabel, type Label } from "../files";
import { codingPrint, sha256 } from "../fingerprint";
import { decodeImage, readFileOf, type DecodedImage, type Size } from "../images";
import type { Pair } from "../layouts/layout";
import { DecodedFolder, entryName, type Decoded } from "./decodedFolder";
import { packCounts, unpackCounts, COUNTS_BYTES } from "./counts";
import type { Loader, Seen, Source, SplitName, ThreadSetup } from "./loading";

/** How the decoded form of one kind of file is made, and how it is kept on disk. */
interface Form<T> {
  readonly kind: "image" | "label";
  /** The values on which the decoded form depends besides the bytes of the file. */
  readonly dependsOn: readonly unknown[];
  /** Bytes of the decoded form. */
  readonly length: number;
  decode(path: string, bytes: Buffer): Promise<T>;
  pack(item: T): Decoded;
  unpack(entry: Decoded): T;
}

/** The loader of files. A file is decoded once, as far as memory or the folder of decoded files has room for it. */
export function fileLoader(
  { size, cacheBytes, cache }: ThreadSetup,
  source: Extract<Source, { kind: "files" }>,
  say: (line: string) => void,
): Loader {
  const folder = cache && new DecodedFolder(cache, say);
  // A label has one byte per pixel, an image three. The caches have room for the same number of both.
  const labels = new DecodedCache<Label>(cacheBytes / 4, ({ data }) => data.length);
  const images = new DecodedCache<DecodedImage>((cacheBytes / 4) * 3, ({ data }) => data.length);
  const seen = new Map<string, Seen>();
  const changed = new Set<string>();

  const labelForm = labelFormOf(size, source);
  const imageForm = imageFormOf(size);
  const load = async <T>(path: string, form: Form<T>): Promise<T> => {
    let read: Buffer | undefined;
    const bytes = async (): Promise<Buffer> => (read ??= await readFileOf(form.kind, path));
    // A file that memory had no room for has been seen. It is read again only where the folder lacks it.
    const before = seen.get(path)?.sha256;
    const digest = before ?? sha256(await bytes());
    if (before === undefined) seen.set(path, { sha256: digest });
    const name = entryName(digest, [form.kind, ...form.dependsOn]);
    const kept = await folder?.get(name, form.length);
    if (kept) return form.unpack(kept);
    const item = await form.decode(path, await bytes());
    // A file that was changed since it was first read does not belong to its digest.
    if (folder && before !== undefined && sha256(await bytes()) !== before) changed.add(path);
    else await folder?.put(name, form.pack(item));
    return item;
  };
  const pairOf = (split: SplitName, index: number): Pair => {
    const pair = source[split][index];
    if (pair === undefined) throw new LatheError("INTERNAL", `example ${index} of ${split} is past the end`);
    return pair;
  };
  const loadedLabel = ({ label }: Pair): Promise<Label> => labels.get(label, () => load(label, labelForm));
  const loadedImage = ({ image }: Pair): Promise<DecodedImage> =>
    images.get(image, async () => {
      const decoded = await load(image, imageForm);
      seen.set(image, { ...seen.get(image)!, size: decoded.stored });
      return decoded;
    });
  const counted = async (split: SplitName, count: () => Promise<Counts>): Promise<Counts> => {
    if (folder === undefined) return count();
    const digests = source[split].map(() => "");
    await checkAll(digests.length, async (index) => {
      const { label } = pairOf(split, index);
      const known = seen.get(label) ?? { sha256: sha256(await readFileOf("label", label)) };
      seen.set(label, known);
      digests[index] = known.sha256;
    });
    const name = entryName(sha256(digests.join("\n")), ["counts", ...labelForm.dependsOn]);
    const kept = await folder.get(name, COUNTS_BYTES);
    if (kept) return unpackCounts(kept);
    const counts = await count();
    if (!source[split].some(({ label }) => changed.has(label))) await folder.put(name, packCounts(counts));
    return counts;
  };
  const example = async (split: SplitName, index: number): Promise<Example> => {
    const pair = pairOf(split, index);
    const [image, label] = await Promise.all([loadedImage(pair), loadedLabel(pair)]);
    checkPair(pair, image, label);
    return { image: image.data, label: label.data };
  };
  return {
    example,
    label: (split, index): Promise<Classes> => loadedLabel(pairOf(split, index)),
    counted,
    check: () =>
      checkAll(source.train.length + source.validation.length, (at) => {
        const inTrain = at < source.train.length;
        return inTrain ? example("train", at) : example("validation", at - source.train.length);
      }),
    seen: (path) => {
      const known = seen.get(path);
      if (known === undefined) throw new LatheError("INTERNAL", `${path} has not been read`);
      return known;
    },
  };
}

const imageFormOf = (size: Size): Form<DecodedImage> => ({
  kind: "image",
  dependsOn: [size.height, size.width],
  length: 3 * size.height * size.width,
  decode: (path, bytes) => decodeImage(path, size, bytes),
  pack: ({ stored, orientation, data }) => ({ numbers: [stored.height, stored.width, orientation, 0], data }),
  unpack: ({ numbers: [height, width, orientation], data }) => ({ data, stored: { height, width }, orientation }),
});

const labelFormOf = (size: Size, { classes, coding }: Extract<Source, { kind: "files" }>): Form<Label> => ({
  kind: "label",
  dependsOn: [size.height, size.width, codingPrint(classes, coding)],
  length: size.height * size.width,
  decode: (path, bytes) => loadLabel(path, size, coding, bytes),
  pack: ({ stored, byValue, unlisted, data }) => ({
    numbers: [stored.height, stored.width, Number(byValue), unlisted],
    data,
  }),
  unpack: ({ numbers: [height, width, byValue, unlisted], data }) => ({
    ...{ data, byValue: byValue === 1, unlisted },
    stored: { height, width },
  }),
});
