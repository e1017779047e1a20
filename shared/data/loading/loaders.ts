import { LatheError } from "../../process/errors";
import { DecodedCache } from "../cache";
import type { Classes } from "../coding";
import type { Example } from "../dataset";
import { checkAll } from "../faults";
import { checkPair, loadLabel, type Label } from "../files";
import { sha256 } from "../fingerprint";
import { decodeImage, type DecodedImage, type Size } from "../images";
import type { Source, SplitName, ThreadSetup } from "./loading";
import type { Pair } from "../layouts/layout";
import { drawScene } from "../streets/scene";

/** Loads the examples of a source. Each is decoded or drawn once if the cache has room for it. */
interface Loader {
  example(split: SplitName, index: number): Promise<Example>;
  /** The label of an example. Files are loaded without the image. */
  label(split: SplitName, index: number): Promise<Classes>;
  /** Loads every file, and rejects with the faults of broken ones. */
  check(): Promise<void>;
  /** What was seen of the bytes of a file when it was first read. Scenes have none. */
  seen(path: string): Seen;
}

interface Seen {
  /** SHA-256 of the bytes. */
  readonly sha256: string;
  /** Size of an image; labels have none. */
  readonly size?: Size;
}

/** Creates the loader of a thread's source. */
export function loader(setup: ThreadSetup): Loader {
  const { source } = setup;
  return source.kind === "scenes" ? sceneLoader(setup, source.seed) : fileLoader(setup, source);
}

function sceneLoader({ size, cacheBytes }: ThreadSetup, seed: number): Loader {
  const scenes = new DecodedCache<Example>(cacheBytes, ({ image, label }) => image.length + label.length);
  const example = (split: SplitName, index: number): Promise<Example> =>
    scenes.get(`${split}/${index}`, () => Promise.resolve(drawScene(size, seed, split, index)));
  return {
    example,
    label: async (split, index) => ({ data: (await example(split, index)).label, byValue: true, unlisted: 0 }),
    check: () => Promise.resolve(),
    seen: unread,
  };
}

function fileLoader({ size, cacheBytes }: ThreadSetup, source: Extract<Source, { kind: "files" }>): Loader {
  // A label has one byte per pixel, an image three. The caches have room for the same number of both.
  const labels = new DecodedCache<Label>(cacheBytes / 4, ({ data }) => data.length);
  const images = new DecodedCache<DecodedImage>((cacheBytes / 4) * 3, ({ data }) => data.length);
  const pairOf = (split: SplitName, index: number): Pair => {
    const pair = source[split][index];
    if (pair === undefined) throw new LatheError("INTERNAL", `example ${index} of ${split} is past the end`);
    return pair;
  };
  const seen = new Map<string, Seen>();
  // A file that the cache had no room for is read again, and not hashed again.
  const note = (path: string) =>
    seen.has(path) ? undefined : (bytes: Buffer) => seen.set(path, { sha256: sha256(bytes) });
  const loadedLabel = ({ label }: Pair): Promise<Label> =>
    labels.get(label, () => loadLabel(label, size, source.coding, note(label)));
  const loadedImage = ({ image }: Pair): Promise<DecodedImage> =>
    images.get(image, async () => {
      const decoded = await decodeImage(image, size, note(image));
      const { sha256: digest } = seen.get(image) ?? unread(image);
      seen.set(image, { sha256: digest, size: decoded.stored });
      return decoded;
    });
  const example = async (split: SplitName, index: number): Promise<Example> => {
    const pair = pairOf(split, index);
    const [image, label] = await Promise.all([loadedImage(pair), loadedLabel(pair)]);
    checkPair(pair, image, label);
    return { image: image.data, label: label.data };
  };
  return {
    example,
    label: (split, index) => loadedLabel(pairOf(split, index)),
    check: () =>
      checkAll(source.train.length + source.validation.length, (at) => {
        const inTrain = at < source.train.length;
        return inTrain ? example("train", at) : example("validation", at - source.train.length);
      }),
    seen: (path) => seen.get(path) ?? unread(path),
  };
}

function unread(path: string): never {
  throw new LatheError("INTERNAL", `${path} has not been read`);
}
