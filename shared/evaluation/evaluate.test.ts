import { IGNORE, type Batch, type BatchOrder, type Split } from "../data/open";
import { eagerEngine } from "../engine/engine";
import { unpack } from "../engine/parameters";
import { tf } from "../engine/tf";
import { packAlphas } from "../network/alphas";
import { buildDiscrete } from "../network/discrete";
import { inferenceNorm, trainingNorm } from "../network/layers";
import { buildSupernet } from "../network/supernet";
import { initialArchitecture } from "../space/groups";
import { searchedHead } from "../space/head";
import { randomBuffer, randomGenotype, smallSpace } from "../testing/networks";
import { uniform } from "../testing/spaces";
import { discreteEvaluator, discreteScorer, momentsEvaluator, supernetEvaluator } from "./evaluate";

const space = smallSpace({ inputHeight: 16, inputWidth: 16, classes: 4 });
const [HEIGHT, WIDTH, CLASSES] = [space.inputHeight, space.inputWidth, space.classes];

/** Examples that are drawn once; labels are at full resolution and taken at the centre of each cell. */
function memorySplit(length: number, random: () => number): Split & { images: Float32Array[]; labels: Int32Array[] } {
  const fill = (size: number, draw: () => number) => Array.from({ length: size }, draw);
  const images = Array.from({ length }, () => Float32Array.from(fill(3 * HEIGHT * WIDTH, random)));
  const labels = Array.from({ length }, () =>
    Int32Array.from(fill(HEIGHT * WIDTH, () => (random() < 0.2 ? IGNORE : Math.floor(random() * CLASSES)))),
  );
  const assemble = ({ indices, labelStride: s }: BatchOrder): Promise<Batch> => {
    const cells = (label: Int32Array) =>
      Array.from({ length: (HEIGHT / s) * (WIDTH / s) }, (_, cell) => {
        const [y, x] = [Math.floor(cell / (WIDTH / s)), cell % (WIDTH / s)];
        return label[(y * s + Math.floor(s / 2)) * WIDTH + x * s + Math.floor(s / 2)]!;
      });
    return Promise.resolve({
      images: Float32Array.from(indices.flatMap((index) => [...images[index]!])),
      labels: Int32Array.from(indices.flatMap((index) => cells(labels[index]!))),
      size: indices.length,
      indices: [...indices],
    });
  };
  const unused = () => Promise.reject(new Error("not asked for by an evaluation"));
  return {
    length,
    height: HEIGHT,
    width: WIDTH,
    images,
    labels,
    name: String,
    example: unused,
    countPixels: unused,
    assemble,
  };
}

/** Class scores counted pixel by pixel over all examples, one example at a time. */
function bruteForce(
  split: ReturnType<typeof memorySplit>,
  stride: number,
  logits: (image: tf.Tensor) => tf.Tensor,
): { miou: number; accuracy: number } {
  const classOf = split.images.map((image) => tf.argMax(logits(tf.tensor(image, [1, 3, HEIGHT, WIDTH])), 1).dataSync());
  const pairs: [number, number][] = [];
  split.labels.forEach((label, example) => {
    classOf[example]!.forEach((prediction, cell) => {
      const [y, x] = [Math.floor(cell / (WIDTH / stride)), cell % (WIDTH / stride)];
      const centre = Math.floor(stride / 2);
      const wanted = label[(y * stride + centre) * WIDTH + x * stride + centre]!;
      if (wanted !== IGNORE) pairs.push([wanted, prediction]);
    });
  });
  const ious = Array.from({ length: CLASSES }, (_, c) => {
    const either = pairs.filter(([label, prediction]) => label === c || prediction === c).length;
    return either ? pairs.filter(([label, prediction]) => label === c && prediction === c).length / either : undefined;
  }).filter((iou) => iou !== undefined);
  return {
    miou: ious.reduce((sum, iou) => sum + iou, 0) / ious.length,
    accuracy: pairs.filter(([label, prediction]) => label === prediction).length / pairs.length,
  };
}

const even = new Float32Array(CLASSES).fill(1);
const engine = eagerEngine("cpu");

describe("an evaluation", () => {
  const random = uniform(5);
  const supernet = buildSupernet(space, initialArchitecture(space));
  const parameters = {
    weights: randomBuffer(supernet.weights, random),
    stats: randomBuffer(supernet.stats, random),
    alphas: packAlphas(supernet, supernet.architecture),
  };

  it("has the scores of a count pixel by pixel, also if the last batch is short", async () => {
    const evaluator = await supernetEvaluator(engine, supernet, 3);
    for (const length of [3, 4, 8]) {
      const split = memorySplit(length, random);
      const got = await evaluator.evaluate(parameters, split, even);
      const want = bruteForce(split, 8, (image) =>
        supernet.logits(
          unpack(tf.tensor1d(parameters.weights), supernet.weights),
          supernet.relax(tf.tensor1d(parameters.alphas)),
          image,
          inferenceNorm(unpack(tf.tensor1d(parameters.stats), supernet.stats)),
        ),
      );
      expect(got.miou).toBeCloseTo(want.miou, 12);
      expect(got.accuracy).toBeCloseTo(want.accuracy, 12);
    }
    await evaluator.release();
  });

  it("weighs the loss of a short batch by its examples, so that the mean does not depend on the batch size", async () => {
    const split = memorySplit(5, random);
    // Every pixel labelled, so that each example has the same weight in a batch's mean.
    for (const label of split.labels) label.forEach((value, at) => (label[at] = value === IGNORE ? 0 : value));
    const losses: number[] = [];
    for (const batchSize of [1, 3, 5]) {
      const evaluator = await supernetEvaluator(engine, supernet, batchSize);
      losses.push((await evaluator.evaluate(parameters, split, even)).loss);
      await evaluator.release();
    }
    expect(losses[0]).toBeGreaterThan(0.1);
    for (const loss of losses) expect(loss).toBeCloseTo(losses[0]!, 5);
  });

  it("scores a network at the resolution of its own logits", async () => {
    const genotype = randomGenotype(space, random);
    const split = memorySplit(3, random);
    for (const head of [{ kind: "search" }, { kind: "aggregation", pyramidChannels: 2, dropout: 0.5 }] as const) {
      const network = buildDiscrete(genotype, head);
      const own = { weights: randomBuffer(network.weights, random), stats: randomBuffer(network.stats, random) };
      const evaluator = await discreteEvaluator(engine, network, 2);
      const got = await evaluator.evaluate(own, split, even);
      const want = bruteForce(split, network.stride, (image) =>
        network.logits(
          unpack(tf.tensor1d(own.weights), network.weights),
          image,
          inferenceNorm(unpack(tf.tensor1d(own.stats), network.stats)),
        ),
      );
      expect(got.miou).toBeCloseTo(want.miou, 12);
      expect(got.accuracy).toBeCloseTo(want.accuracy, 12);
      await evaluator.release();
      // The same without the loss; the last of the batches is short.
      const scorer = await discreteScorer(engine, network, 2);
      const { loss, ...alike } = got;
      expect(loss).toBeGreaterThan(0);
      expect(await scorer.score(own, split)).toEqual(alike);
      await expect(scorer.score(own, split, AbortSignal.abort(new Error("paused")))).rejects.toThrow("paused");
      await scorer.release();
    }
  });

  it("scores a network without statistics by the moments of each batch", async () => {
    const network = buildDiscrete(randomGenotype(space, random), searchedHead(space));
    const weights = randomBuffer(network.weights, random);
    const split = memorySplit(8, random);
    // Batches of one image: its moments are those that a brute force takes over that image.
    const evaluator = await momentsEvaluator(engine, network, 1);
    const got = await evaluator.evaluate({ weights }, split, even);
    const byMoments = trainingNorm(() => undefined);
    const want = bruteForce(split, network.stride, (image) =>
      network.logits(unpack(tf.tensor1d(weights), network.weights), image, byMoments),
    );
    expect(got.miou).toBeCloseTo(want.miou, 12);
    expect(got.accuracy).toBeCloseTo(want.accuracy, 12);
    await evaluator.release();
  });

  it("stops between batches when its signal aborts", async () => {
    const evaluator = await supernetEvaluator(engine, supernet, 1);
    const stop = new AbortController();
    const split = memorySplit(3, random);
    const watched = {
      ...split,
      assemble: (order: BatchOrder) => {
        stop.abort(new Error("paused"));
        return split.assemble(order);
      },
    };
    await expect(evaluator.evaluate(parameters, watched, even, stop.signal)).rejects.toThrow("paused");
    await evaluator.release();
  });
});
