import { createRandom } from "../engine/random";
import { unpack, view } from "../engine/parameters";
import { tf } from "../engine/tf";
import { OperationKind, type Genotype, type GenotypeBlock } from "../proto/lathe/v1/space";
import { noise, randomBuffer } from "../testing/networks";
import { relativeDifference } from "../testing/parity";
import { uniform } from "../testing/spaces";
import { buildDiscrete, type DiscreteNetwork } from "./discrete";
import { inheritBuffer } from "./inherit";
import { trainingNorm } from "./layers";
import { transfer } from "./transfer";
import { searchedHead } from "../space/head";

const block = (middleWidth: number, outputWidth: number, dilation = 1, scale = 1): GenotypeBlock => ({
  ...{ dilation, scale, middleWidth, outputWidth },
});
const genotype = (first: GenotypeBlock[], second: GenotypeBlock[]): Genotype => ({
  ...{ inputHeight: 32, inputWidth: 32, classes: 5, stemChannels: 6 },
  stages: [
    { channels: 8, blocks: first },
    { channels: 12, blocks: second },
  ],
});
const given = genotype([block(4, 8), block(6, 8, 2)], [block(6, 12), block(8, 12, 2, 2)]);
const networkOf = (of: Genotype) => buildDiscrete(of, searchedHead(of));
const from = networkOf(given);
const random = uniform(3);
const weights = randomBuffer(from.weights, random);
const images = noise(3 * 32 * 32, random);

/** Logits by the moments of the batch, which every channel has for itself: those that nothing reads change none. */
const logits = (network: DiscreteNetwork, values: Float32Array): Float32Array =>
  tf.tidy(() =>
    network
      .logits(
        unpack(tf.tensor1d(values), network.weights),
        tf.tensor(images, [1, 3, 32, 32]),
        trainingNorm(() => undefined),
      )
      .dataSync<"float32">(),
  );
const transferred = (of: Genotype) => {
  const network = networkOf(of);
  return { network, values: transfer(from, weights, network, createRandom(1, "test")) };
};

describe("transfer", () => {
  it("gives a network its own weights", () => {
    expect(transferred(given).values).toEqual(weights);
  });

  it("takes the first channels of narrower widths, as a cut out of a supernet does", () => {
    const narrower = genotype([block(3, 8), block(6, 5, 2)], [block(6, 10), block(8, 12, 2, 2)]);
    const { network, values } = transferred(narrower);
    expect(values).toEqual(inheritBuffer(weights, "weights", from, network));
  });

  it.each([
    ["wider middles", genotype([block(8, 8), block(8, 8, 2)], [block(12, 12), block(12, 12, 2, 2)])],
    [
      "a block more in each stage",
      genotype([...given.stages[0]!.blocks, block(5, 8)], [...given.stages[1]!.blocks, block(9, 12, 4)]),
    ],
  ])("keeps the function with %s", (_, wider) => {
    const { network, values } = transferred(wider);
    expect(relativeDifference(logits(network, values), logits(from, weights))).toBeLessThan(1e-6);
  });

  it("reads a wider output with zeros, and gives it filters that can learn", () => {
    const narrow = networkOf(genotype([block(4, 5)], [block(6, 12)]));
    const wide = networkOf(genotype([block(4, 8)], [block(6, 12)]));
    const own = randomBuffer(narrow.weights, random);
    const values = transfer(narrow, own, wide, createRandom(1, "test"));
    // [out, in, 3, 3] and [middle, in, 3, 1]: channels 5 to 7 of stage 1 are new.
    const reader = view(values, wide.weights, "stage2/reduction/conv");
    for (let out = 0; out < 4; out++)
      for (let channel = 5; channel < 8; channel++)
        for (let at = 0; at < 9; at++) expect(reader[(out * 8 + channel) * 9 + at]).toBe(0);
    // [out, middle, 1, 3]
    const added = view(values, wide.weights, "stage1/block1/conv2").slice(5 * 4 * 3);
    expect(added.every((value) => value !== 0)).toBe(true);
    expect(view(values, wide.weights, "stage1/block1/conv2").slice(0, 60)).toEqual(
      view(own, narrow.weights, "stage1/block1/conv2").slice(0, 60),
    );
  });

  it("keeps the filters of a block whose operation changes", () => {
    const other = genotype([block(4, 8, 4, 2), block(6, 8, 2)], given.stages[1]!.blocks);
    const { network, values } = transferred(other);
    expect(values).toEqual(weights);
    expect(relativeDifference(logits(network, values), logits(from, weights))).toBeGreaterThan(1e-3);
  });

  it("keeps the function of depthwise convolutions with a wider middle, and gives the new channels filters that can learn", () => {
    const kind = OperationKind.OPERATION_KIND_SEPARABLE;
    const of = (middle: number, dilation: number) =>
      networkOf(genotype([{ ...block(middle, 8, dilation), kind }], given.stages[1]!.blocks));
    const [narrow, wide] = [of(4, 1), of(6, 2)];
    const own = randomBuffer(narrow.weights, random);
    const values = transfer(narrow, own, wide, createRandom(1, "test"));
    // [middle, 1, 3, 3]: the filters of another dilation are the same; the last two are new.
    const filters = view(values, wide.weights, "stage1/block1/depthwise2");
    expect(filters.slice(0, 36)).toEqual(view(own, narrow.weights, "stage1/block1/depthwise2"));
    expect(filters.slice(36).every((value) => value !== 0)).toBe(true);
    const same = transfer(narrow, own, of(6, 1), createRandom(1, "test"));
    expect(relativeDifference(logits(of(6, 1), same), logits(narrow, own))).toBeLessThan(1e-6);
  });

  it("keeps the function of an inverted bottleneck with a wider middle", () => {
    const kind = OperationKind.OPERATION_KIND_INVERTED;
    const of = (middle: number) => networkOf(genotype([{ ...block(middle, 8), kind }], given.stages[1]!.blocks));
    const [narrow, wide] = [of(4), of(6)];
    const own = randomBuffer(narrow.weights, random);
    const values = transfer(narrow, own, wide, createRandom(1, "test"));
    // [middle, in, 1, 1]: the middle has twice the channels of its width, 8 of 12 the given ones.
    const filters = view(values, wide.weights, "stage1/block1/conv1");
    expect(filters.length).toBe(12 * 8);
    expect(filters.slice(0, 8 * 8)).toEqual(view(own, narrow.weights, "stage1/block1/conv1"));
    expect(relativeDifference(logits(wide, values), logits(narrow, own))).toBeLessThan(1e-6);
  });

  it("begins a block of another kind as a new one, whose residual alone is left", () => {
    const plain = { ...block(4, 8), kind: OperationKind.OPERATION_KIND_PLAIN };
    const { network, values } = transferred(genotype([plain, block(6, 8, 2)], given.stages[1]!.blocks));
    const own = view(values, network.weights, "stage1/block1/norm2/gamma");
    expect([...own]).toEqual(new Array(8).fill(0));
    for (const { name, part } of network.weights.entries)
      if (part !== "stage1/block1")
        expect(view(values, network.weights, name)).toEqual(view(weights, from.weights, name));
  });

  it("drops the blocks at the end of a shallower stage", () => {
    const shallower = genotype([block(4, 8)], given.stages[1]!.blocks);
    const { network, values } = transferred(shallower);
    for (const { name } of network.weights.entries)
      expect(view(values, network.weights, name)).toEqual(view(weights, from.weights, name));
  });
});
