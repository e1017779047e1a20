import { LatheError } from "../../process/errors";
import { DecodedCache } from "../cache";
import type { Example } from "../dataset";
import { drawScene } from "../streets/scene";
import { fileLoader } from "./files";
import type { Loader, SplitName, ThreadSetup } from "./loading";

/** Creates the loader of a thread's source. `say` receives a line about what an operator should know. */
export function loader(setup: ThreadSetup, say: (line: string) => void): Loader {
  const { source } = setup;
  return source.kind === "scenes" ? sceneLoader(setup, source.seed) : fileLoader(setup, source, say);
}

function sceneLoader({ size, cacheBytes }: ThreadSetup, seed: number): Loader {
  const scenes = new DecodedCache<Example>(cacheBytes, ({ image, label }) => image.length + label.length);
  const example = (split: SplitName, index: number): Promise<Example> =>
    scenes.get(`${split}/${index}`, () => Promise.resolve(drawScene(size, seed, split, index)));
  return {
    example,
    label: async (split, index) => ({ data: (await example(split, index)).label, byValue: true, unlisted: 0 }),
    counted: (_, count) => count(),
    check: () => Promise.resolve(),
    seen: (path) => {
      throw new LatheError("INTERNAL", `scenes have no files, ${path} was asked for`);
    },
  };
}
