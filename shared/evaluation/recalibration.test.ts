import type { Batch, BatchOrder, Split } from "../data/open";
import { eagerEngine } from "../engine/engine";
import { unpack } from "../engine/parameters";
import { tf } from "../engine/tf";
import { buildDiscrete } from "../network/discrete";
import { inferenceNorm, trainingNorm } from "../network/layers";
import { noise, randomBuffer, randomGenotype, smallSpace } from "../testing/networks";
import { relativeDifference } from "../testing/parity";
import { uniform } from "../testing/spaces";
import { recalibratedStats, recalibrationBatches, recalibrationImages } from "./recalibration";
import { searchedHead } from "../space/head";

const space = smallSpace({ inputHeight: 16, inputWidth: 16, classes: 4 });
const SIZE = 2;
const { signal } = new AbortController();
const random = uniform(4);
const network = buildDiscrete(randomGenotype(space, random), searchedHead(space));
const weights = randomBuffer(network.weights, random);

const drawn = (): Batch => ({
  images: noise(SIZE * 3 * 16 * 16, random),
  labels: new Int32Array(),
  size: SIZE,
  indices: [],
});
const statsOf = (...calibration: Batch[]) =>
  recalibratedStats(eagerEngine("cpu"), network, weights, calibration, signal);

describe("recalibrated statistics", () => {
  it("give a batch the logits that its own moments give it", async () => {
    const batch = drawn();
    const stats = await statsOf(batch);
    const [got, want] = tf.tidy(() => {
      const images = tf.tensor4d(batch.images, [SIZE, 3, 16, 16]);
      const tensors = unpack(tf.tensor1d(weights), network.weights);
      const byStats = inferenceNorm(unpack(tf.tensor1d(stats), network.stats));
      const byMoments = trainingNorm(() => undefined);
      return [byStats, byMoments].map((norm) => network.logits(tensors, images, norm).dataSync() as Float32Array);
    });
    expect(relativeDifference(got!, want!)).toBeLessThan(1e-5);
  });

  it("are the mean of the moments of each batch", async () => {
    const [a, b] = [drawn(), drawn()];
    const [first, second, both] = [await statsOf(a), await statsOf(b), await statsOf(a, b)];
    const mean = first.map((value, at) => (value + second[at]!) / 2);
    expect(relativeDifference(first, second)).toBeGreaterThan(1e-3);
    expect(relativeDifference(both, mean)).toBeLessThan(1e-6);
  });

  it.each([
    [19, 4, 16],
    [11, 4, 8],
    [40, 4, 16],
  ])(
    "of %d training images in batches of %d read %d, whole and unchanged, by the seed alone",
    async (length, batchSize, images) => {
      const asked: BatchOrder[] = [];
      const split = {
        ...{ length, height: 16, width: 16 },
        assemble: (order: BatchOrder) => {
          asked.push(order);
          return Promise.resolve({ ...drawn(), size: order.indices.length, indices: [...order.indices] });
        },
      } as unknown as Split;
      const indicesOf = async (seed: number) =>
        (await recalibrationBatches(split, { seed, batchSize, labelStride: 8 })).flatMap(({ indices }) => [...indices]);
      const chosen = await indicesOf(1);
      expect(new Set(chosen).size).toBe(images);
      expect(recalibrationImages(length, batchSize)).toBe(images);
      expect(await indicesOf(1)).toEqual(chosen);
      expect(await indicesOf(2)).not.toEqual(chosen);
      const isUnchanged = ({ flips, shiftsX, shiftsY, zooms, colors }: BatchOrder) =>
        !flips.includes(true) && [...shiftsX, ...shiftsY].every((shift) => shift === 0) && !zooms && !colors;
      expect(asked.every(isUnchanged)).toBe(true);
    },
  );
});
