import { unpack, view } from "../engine/parameters";
import { relativeDifference } from "../testing/parity";
import { tf } from "../engine/tf";
import type { Architecture, SearchSpace } from "../proto/lathe/v1/space";
import { blockInputs, derive } from "../space/genotype";
import { initialArchitecture } from "../space/groups";
import { searchStride, searchedHead } from "../space/head";
import { operationName } from "../space/parts";
import { decidedArchitecture } from "../space/decided";
import { keepSome, noise, randomBuffer, randomGenotype, silence, smallSpace } from "../testing/networks";
import { randomArchitecture, randomSpace, uniform } from "../testing/spaces";
import { packAlphas, pathAlphas } from "./alphas";
import { buildDiscrete } from "./discrete";
import { copyShared, inheritBuffer } from "./inherit";
import { inferenceNorm } from "./layers";
import { buildSupernet, type DeclaredSupernet } from "./supernet";

interface Vectors {
  weights: Float32Array;
  stats: Float32Array;
  alphas: Float32Array;
}

const small = (space: SearchSpace): SearchSpace => ({ ...space, inputHeight: 32, inputWidth: 64 });
const picture = (space: SearchSpace, random: () => number) =>
  tf.tensor(noise(3 * space.inputHeight * space.inputWidth, random), [1, 3, space.inputHeight, space.inputWidth]);

/** Logits by running statistics. */
function supernetLogits(
  supernet: DeclaredSupernet,
  { weights, stats, alphas }: Vectors,
  images: tf.Tensor,
): Float32Array {
  return tf.tidy(() =>
    supernet
      .logits(
        unpack(tf.tensor1d(weights), supernet.weights),
        supernet.relax(tf.tensor1d(alphas)),
        images,
        inferenceNorm(unpack(tf.tensor1d(stats), supernet.stats)),
      )
      .dataSync<"float32">(),
  );
}

function vectorsOf(supernet: DeclaredSupernet, random: () => number, architecture = supernet.architecture): Vectors {
  return {
    weights: randomBuffer(supernet.weights, random),
    stats: randomBuffer(supernet.stats, random),
    alphas: packAlphas(supernet, architecture),
  };
}

const shrink = ({ weights, stats, alphas }: Vectors, from: DeclaredSupernet, to: DeclaredSupernet): Vectors => ({
  weights: inheritBuffer(weights, "weights", from, to),
  stats: inheritBuffer(stats, "stats", from, to),
  alphas: inheritBuffer(alphas, "alphas", from, to),
});

/** Number of random spaces. LATHE_PROPERTY_CASES=200 makes a thorough run. */
const CASES = Number(process.env.LATHE_PROPERTY_CASES ?? 20);

describe("inheritBuffer on a shrink", () => {
  it.each(Array.from({ length: CASES }, (_, seed) => seed))(
    "leaves the function as it was with p = 0 for what has left (random space %d)",
    (seed) => {
      const random = uniform(seed);
      const space = small(randomSpace(random));
      const before = randomArchitecture(space, random, { spread: 1, decided: 0.1 });
      const after = keepSome(space, before, random);
      const [from, to] = [buildSupernet(space, before), buildSupernet(space, after)];
      const old = vectorsOf(from, random);
      const images = picture(space, random);
      const silenced = { ...old, alphas: packAlphas(from, silence(before, after)) };
      const got = supernetLogits(to, shrink(old, from, to), images);
      expect(relativeDifference(got, supernetLogits(from, silenced, images))).toBeLessThan(1e-5);
      expect(to.weights.size).toBeLessThanOrEqual(from.weights.size);
    },
  );

  it("takes the surviving channels of the surviving operations out of every vector", () => {
    const space = smallSpace();
    const before = initialArchitecture(space);
    const after = keepSome(space, before, uniform(1), 0.4);
    const [from, to] = [buildSupernet(space, before), buildSupernet(space, after)];
    // Each value of a norm identifies its operation and channel.
    const tagged = new Float32Array(from.weights.size);
    const tag = (scale: number, dilation: number, channel: number) => 1000 * scale + 100 * dilation + channel;
    for (const stage of from.stages)
      for (const block of stage.blocks)
        for (const scale of [1, 2])
          view(tagged, from.weights, `${block.name}/s${scale}/norm1/gamma`).set(
            [1, 2].flatMap((dilation) =>
              Array.from({ length: stage.channels }, (_, channel) => tag(scale, dilation, channel)),
            ),
          );
    const carried = inheritBuffer(tagged, "weights", from, to);
    let narrowed = 0;
    for (const stage of to.stages)
      for (const block of stage.blocks)
        for (const scale of [1, 2]) {
          const rows = block.operations.filter(({ operation }) => operation.scale === scale);
          if (rows.length === 0) continue;
          const want = rows.flatMap(({ operation, middleChannels }) =>
            Array.from({ length: middleChannels }, (_, channel) => tag(scale, operation.dilation, channel)),
          );
          expect([...view(carried, to.weights, `${block.name}/s${scale}/norm1/gamma`)]).toEqual(want);
          narrowed += rows.filter(({ middleChannels }) => middleChannels < stage.channels).length;
        }
    expect(narrowed).toBeGreaterThan(0);
  });

  it("in two shrinks has the same result as in one", () => {
    const random = uniform(3);
    const space = smallSpace();
    const first = initialArchitecture(space);
    const second = keepSome(space, first, random);
    const third = keepSome(space, second, random);
    const [a, b, c] = [first, second, third].map((architecture) => buildSupernet(space, architecture)) as [
      DeclaredSupernet,
      DeclaredSupernet,
      DeclaredSupernet,
    ];
    const old = { ...vectorsOf(a, random), alphas: noise(a.alphas.size, random) };
    expect(shrink(shrink(old, a, b), b, c)).toEqual(shrink(old, a, c));
  });
});

describe("inheritBuffer onto a genotype's network", () => {
  const seen = { wider: 0, narrower: 0, half: 0, shallow: 0, cutReduction: 0 };

  it.each(Array.from({ length: 9 }, (_, seed) => seed))(
    "makes the discrete network compute what the converged supernet does (random genotype %d)",
    (seed) => {
      const random = uniform(100 + seed);
      const space = small({ ...randomSpace(random), scales: [1, 2], inputHeight: 32 });
      const genotype = randomGenotype(space, random);
      const architecture = decidedArchitecture(space, genotype);
      const supernet = buildSupernet(space, architecture);
      const vectors = vectorsOf(supernet, random);
      const images = picture({ ...space, inputHeight: 32, inputWidth: 32 }, random);
      expect(derive(space, architecture)).toEqual({ genotype, converged: true });

      const network = buildDiscrete(genotype, searchedHead(space));
      const logits = (of: DeclaredSupernet, { weights, stats }: Vectors) =>
        network
          .logits(
            unpack(tf.tensor1d(inheritBuffer(weights, "weights", of, network)), network.weights),
            images,
            inferenceNorm(unpack(tf.tensor1d(inheritBuffer(stats, "stats", of, network)), network.stats)),
          )
          .dataSync<"float32">();
      expect(relativeDifference(logits(supernet, vectors), supernetLogits(supernet, vectors, images))).toBeLessThan(
        1e-5,
      );

      // The same from the whole supernet, with one-hot p.
      const full = initialArchitecture(space);
      const whole = buildSupernet(space, full);
      const everything = vectorsOf(whole, random, silence(full, architecture));
      expect(relativeDifference(logits(whole, everything), supernetLogits(whole, everything, images))).toBeLessThan(
        1e-5,
      );

      blockInputs(genotype).stages.forEach(({ blocks, reduction }, s) => {
        const { maxDepth } = space.stages[s]!;
        if (reduction.output < space.stages[s]!.channels) seen.cutReduction++;
        if (blocks.length < maxDepth) seen.shallow++;
        genotype.stages[s]!.blocks.forEach(({ outputWidth, scale }, b) => {
          if (outputWidth > blocks[b]!) seen.wider++;
          if (outputWidth < blocks[b]!) seen.narrower++;
          if (scale === 2) seen.half++;
        });
      });
    },
  );

  it("was tested on every way in which networks can differ", () => {
    for (const count of Object.values(seen)) expect(count).toBeGreaterThan(1);
  });

  it("cuts a network out of a supernet that has not converged", () => {
    const random = uniform(8);
    for (let round = 0; round < 5; round++) {
      const space = small(randomSpace(random));
      const architecture: Architecture = randomArchitecture(space, random, { decided: 0 });
      const supernet = buildSupernet(space, architecture);
      const { weights, stats } = vectorsOf(supernet, random);
      const { genotype } = derive(space, architecture);
      const network = buildDiscrete(genotype, searchedHead(space));
      const logits = network.logits(
        unpack(tf.tensor1d(inheritBuffer(weights, "weights", supernet, network)), network.weights),
        picture(space, random),
        inferenceNorm(unpack(tf.tensor1d(inheritBuffer(stats, "stats", supernet, network)), network.stats)),
      );
      expect(logits.shape).toEqual([1, 5, 32 / searchStride(space), 64 / searchStride(space)]);
      expect(logits.dataSync().every(Number.isFinite)).toBe(true);
    }
  });

  it("takes out the network that a supernet with one-hot choices computes", () => {
    const random = uniform(9);
    for (let round = 0; round < 8; round++) {
      const space = small(round === 0 ? smallSpace() : randomSpace(random));
      const supernet = buildSupernet(space, initialArchitecture(space));
      const vectors = vectorsOf(supernet, random);
      const genotype = randomGenotype(space, random);
      const network = buildDiscrete(genotype, searchedHead(space));
      const images = picture(space, random);
      const logits = network.logits(
        unpack(tf.tensor1d(inheritBuffer(vectors.weights, "weights", supernet, network)), network.weights),
        images,
        inferenceNorm(unpack(tf.tensor1d(inheritBuffer(vectors.stats, "stats", supernet, network)), network.stats)),
      );
      const alphas = pathAlphas(supernet, genotype);
      const path = supernetLogits(supernet, { ...vectors, alphas }, images);
      expect(relativeDifference(path, logits.dataSync() as Float32Array)).toBeLessThan(1e-5);
    }
  });

  it("names an operation that was removed from the supernet", () => {
    const space = smallSpace();
    const genotype = randomGenotype(space, uniform(2));
    const supernet = buildSupernet(space, decidedArchitecture(space, genotype));
    const other = structuredClone(genotype);
    const [block] = other.stages[0]!.blocks;
    block!.dilation = 3 - block!.dilation;
    const network = buildDiscrete(other, searchedHead(space));
    expect(() => inheritBuffer(new Float32Array(supernet.weights.size), "weights", supernet, network)).toThrow(
      `stage1/block1 has no conv1 filter of stage1/block1/${operationName(block!)}/middle`,
    );
  });
});

describe("copyShared", () => {
  it("copies the body of a network, but not another head", () => {
    const genotype = randomGenotype(smallSpace(), uniform(2));
    const source = buildDiscrete(genotype, searchedHead(genotype));
    const target = buildDiscrete(genotype, { kind: "aggregation", pyramidChannels: 4, dropout: 0.1 });
    const from = randomBuffer(source.weights, uniform(3));
    const to = new Float32Array(target.weights.size);
    const left = copyShared(from, source.weights, to, target.weights);
    expect(left.every((name) => name.startsWith("head/"))).toBe(true);
    expect(left).toContain("head/pyramid6/conv");
    const body = source.weights.entries.filter(({ name }) => !name.startsWith("head/"));
    expect(body.length).toBeGreaterThan(15);
    for (const { name } of body) expect(view(to, target.weights, name)).toEqual(view(from, source.weights, name));
    for (const name of left) expect(view(to, target.weights, name).every((value) => value === 0)).toBe(true);
  });

  it("copies a whole network whose search had the head of retraining", () => {
    const genotype = { ...randomGenotype(smallSpace(), uniform(2)), pyramidChannels: 4 };
    const source = buildDiscrete(genotype, searchedHead(genotype));
    const target = buildDiscrete(genotype, { kind: "aggregation", pyramidChannels: 4, dropout: 0.1 });
    const from = randomBuffer(source.weights, uniform(3));
    const to = new Float32Array(target.weights.size);
    expect(copyShared(from, source.weights, to, target.weights)).toEqual([]);
    expect(to).toEqual(from);
  });
});
