import { LatheError } from "../../process/errors";
import { DecodedCache } from "../cache";
import type { Classes } from "../coding";
import type { Example } from "../dataset";
import { checkAll } from "../faults";
import { checkPair, loadLabel, type Label } from "../files";
import { decodeImage, type DecodedImage } from "../images";
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
  const loadedLabel = ({ label }: Pair): Promise<Label> =>
    labels.get(label, () => loadLabel(label, size, source.coding));
  const loadedImage = ({ image }: Pair): Promise<DecodedImage> => images.get(image, () => decodeImage(image, size));
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
  };
}
