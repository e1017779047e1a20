import { createRandom, type Random } from "../../shared/engine/random";
import { initialWeights } from "../../shared/network/initialise";
import { buildSupernet, type DeclaredSupernet } from "../../shared/network/supernet";
import { initialArchitecture } from "../../shared/space/groups";
import { searchStride } from "../../shared/space/head";
import { base64, namedTensors } from "../pytorch";
import { CLASSES, SIZES, spaceOf, type Size } from "../sizes";

/** Kinds of images: each pixel drawn by itself, or sums of a few long waves, whose neighbours are nearly equal. */
export const IMAGES = ["noise", "smooth"] as const;

/** A supernet with weights and a batch, for each side. */
export interface Trial {
  images: (typeof IMAGES)[number];
  supernet: DeclaredSupernet;
  weights: Float32Array;
  batch: { images: Float32Array; labels: Int32Array; classWeights: Float32Array };
  /** The same for the PyTorch side. */
  request: object;
}

const WAVES = 4;

/** Draws a trial from a seed: first weights, images in 0 to 1, and random labels. */
export function drawTrial(size: Size, images: Trial["images"], seed: number): Trial {
  const { batchSize, height, width } = SIZES[size];
  const space = spaceOf(size);
  const architecture = initialArchitecture(space);
  const supernet = buildSupernet(space, architecture);
  const random = createRandom(seed, `accuracy/${images}`);
  const weights = initialWeights(supernet.weights, random);
  const batch = {
    images:
      images === "noise"
        ? Float32Array.from({ length: batchSize * 3 * height * width }, () => random.next())
        : waves(batchSize * 3, height, width, random),
    labels: Int32Array.from({ length: (batchSize * height * width) / searchStride(space) ** 2 }, () =>
      random.integer(CLASSES),
    ),
    classWeights: new Float32Array(CLASSES).fill(1),
  };
  const request = {
    space,
    architecture,
    labelStride: searchStride(space),
    weights: namedTensors(weights, supernet.weights),
    images: base64(batch.images),
    labels: [...batch.labels],
    classWeights: [...batch.classWeights],
  };
  return { images, supernet, weights, batch, request };
}

/** Planes [count, height, width] of values in 0 to 1, each the mean of waves with up to three periods along each side. */
function waves(count: number, height: number, width: number, random: Random): Float32Array {
  const values = new Float32Array(count * height * width);
  for (let plane = 0; plane < count; plane++) {
    const drawn = Array.from({ length: WAVES }, () => [6 * random.next() - 3, 6 * random.next() - 3, random.next()]);
    for (let at = 0; at < height * width; at++) {
      const [y, x] = [Math.floor(at / width) / height, (at % width) / width];
      const sum = drawn.reduce(
        (total, [down = 0, right = 0, phase = 0]) => total + Math.sin(2 * Math.PI * (down * y + right * x + phase)),
        0,
      );
      values[plane * height * width + at] = 0.5 + (0.5 * sum) / WAVES;
    }
  }
  return values;
}
