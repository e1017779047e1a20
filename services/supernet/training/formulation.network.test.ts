import { rates } from "../../../shared/engine/adam";
import { createEngine, eagerEngine, type Arrays, type Engine } from "../../../shared/engine/engine";
import { createRandom } from "../../../shared/engine/random";
import { buildDiscrete, type DiscreteNetwork } from "../../../shared/network/discrete";
import { OperationKind, type Genotype, type SearchSpace } from "../../../shared/proto/lathe/v1/space";
import { withoutBlocks } from "../../../shared/space/genotype";
import type { Head } from "../../../shared/space/head";
import { noise, randomBuffer, randomGenotype } from "../../../shared/testing/networks";
import { relativeDifference } from "../../../shared/testing/parity";
import { portableEngine, TILE_SIZES } from "../../../shared/testing/portableTiles";
import { uniform } from "../../../shared/testing/spaces";
import { formulateNetwork, type Formulation } from "./formulation";
import { differences, differing, space } from "./formulation.fixture";
import { dropoutFactors } from "./running";
import { stepSignature, trainableNetwork, weightStep } from "./steps";

const BATCH = 2;
const { inputHeight: height, inputWidth: width, classes } = space;
const heads: Head[] = [
  { kind: "search" },
  { kind: "aggregation", pyramidChannels: 5, dropout: 0.4 },
  { kind: "aggregation", pyramidChannels: 5, dropout: 0, coarse: true },
];

/** Widths that are no whole tiles, but nearly. */
const wide: SearchSpace = {
  ...space,
  stages: space.stages.map((stage) => ({ ...stage, widths: [stage.channels - stage.channels / 8, stage.channels] })),
};
/** No stage has whole tiles of channels, and one block has 3x3 convolutions. */
const uneven: Genotype = {
  ...{ inputHeight: height, inputWidth: width, classes, stemChannels: 6 },
  stages: [
    { channels: 15, blocks: [{ dilation: 2, scale: 2, middleWidth: 13, outputWidth: 15 }] },
    {
      channels: 31,
      blocks: [
        { kind: OperationKind.OPERATION_KIND_PLAIN, dilation: 1, scale: 1, middleWidth: 31, outputWidth: 29 },
        { dilation: 4, scale: 1, middleWidth: 27, outputWidth: 31 },
      ],
    },
  ],
};
/** Three stages with depthwise convolutions, before one or both convolutions of a block; the outer taps of the second see only padding. */
const spread: Genotype = {
  ...{ inputHeight: height, inputWidth: width, classes, stemChannels: 8 },
  stages: [
    { kind: OperationKind.OPERATION_KIND_SEPARABLE, dilation: 4 },
    { kind: OperationKind.OPERATION_KIND_BOTTLENECK, dilation: 16 },
    { kind: OperationKind.OPERATION_KIND_SEPARABLE5, dilation: 1 },
  ].map((operation, s) => ({
    channels: 16 * (s + 1),
    blocks: [operation, { kind: OperationKind.OPERATION_KIND_INVERTED, dilation: 2 }].map((one) => ({
      ...{ ...one, scale: 1, middleWidth: 16, outputWidth: 16 * (s + 1) },
    })),
  })),
};
const genotypes = [randomGenotype(wide, uniform(1)), randomGenotype(wide, uniform(2)), uneven, spread];

type Formulated = Formulation<Parameters<typeof trainableNetwork>[0]>;

/** A compiled weight step of a formulation. Inputs and outputs are in the order of checkpoints. */
async function stepOf(engine: Engine, { network, enter, leave, optimization }: Formulated, stride: number) {
  const { weights, stats, dropouts } = network;
  const sizes = { weights: weights.size, m: weights.size, v: weights.size, stats: stats.size };
  const shape = { batchSize: BATCH, height, width, stride, classes };
  const compiled = await engine.compile(
    weightStep(trainableNetwork(network), 0),
    stepSignature(sizes, { rates: [2] }, shape, dropouts),
    "step",
    optimization,
  );
  return {
    release: () => compiled.release(),
    run: async ({ weights: values, stats: before, ...others }: Arrays): Promise<Arrays> => {
      const out = await compiled.run({
        ...{ weights: enter("weights", values as Float32Array), stats: enter("stats", before as Float32Array) },
        ...{ m: new Float32Array(weights.size), v: new Float32Array(weights.size), rates: rates(1e-2, 3) },
        ...others,
      });
      // The padding of tiles is 0 and stays 0.
      const moved = out.weights as Float32Array;
      expect(enter("weights", leave("weights", moved))).toEqual(moved);
      // From moments 0 and without decay, m after the step is 0.1 * gradient.
      return {
        ...{ m: leave("weights", out.m as Float32Array), stats: leave("stats", out.stats as Float32Array) },
        ...{ loss: out.loss!, norm: out.norm! },
      };
    },
  };
}

/** Random inputs of a network's step, and the same with the last bit of the images changed. */
function drawn(network: DiscreteNetwork, seed: number): { inputs: Arrays; rounded: Arrays } {
  const random = uniform(seed);
  const images = noise(BATCH * 3 * height * width, random).map(Math.abs);
  const cells = (BATCH * height * width) / network.stride ** 2;
  const inputs = {
    weights: randomBuffer(network.weights, random),
    stats: randomBuffer(network.stats, random),
    images,
    labels: Int32Array.from({ length: cells }, () => Math.floor(random() * classes)),
    classWeights: Float32Array.of(1, 3, 2, 5, 4),
    ...dropoutFactors(network.dropouts, BATCH, createRandom(seed)),
  };
  const other = images.map((value, at) => value * (1 + (at % 2 === 0 ? 1.2e-7 : -1.2e-7)));
  return { inputs, rounded: { ...inputs, images: other } };
}

const engines = [
  { name: "this processor's tiles", open: () => createEngine({ engine: "onnxruntime", provider: "cpu", threads: 1 }) },
  ...TILE_SIZES.map((tile) => ({ name: `tiles of ${tile}`, open: () => portableEngine(tile) })),
];

describe.each(engines)("with $name the blocked step of a network", ({ open }) => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await open();
  });

  const cases = genotypes.flatMap((genotype, index) => heads.map((head) => ({ index, genotype, head })));
  it.each(cases)(
    "has the loss, every gradient and the statistics of the plain one ($index, $head.kind)",
    async (one) => {
      const network = buildDiscrete(one.genotype, one.head);
      const blocked = formulateNetwork(engine, network, BATCH);
      expect(blocked.name).toBe("blocked");
      const plain = formulateNetwork(eagerEngine("cpu"), network, BATCH);
      const [tiled, reference] = [
        await stepOf(engine, blocked, network.stride),
        await stepOf(engine, plain, network.stride),
      ];
      const compare = async (seed: number): Promise<string[]> => {
        const { inputs, rounded } = drawn(network, seed);
        const [got, want, control] = [
          await tiled.run(inputs),
          await reference.run(inputs),
          await reference.run(rounded),
        ];
        expect(relativeDifference(got.loss!, want.loss!)).toBeLessThan(1e-5);
        return [
          ...differing(got, want, control, "m", network.weights),
          ...differing(got, want, control, "stats", network.stats),
        ];
      };
      expect(await differences(compare)).toEqual([]);
      await Promise.all([tiled.release(), reference.release()]);
    },
  );
});

describe("the plain step of a network is taken, and says why,", () => {
  it("where a stage has no block", async () => {
    const engine = await portableEngine(TILE_SIZES[0]);
    const network = buildDiscrete(withoutBlocks(space), { kind: "search" });
    expect(formulateNetwork(engine, network, BATCH).name).toBe("plain: a stage has no block");
  });

  it("where widths are far from whole tiles", async () => {
    const engine = await portableEngine(8);
    const [first, second] = uneven.stages as [Genotype["stages"][0], Genotype["stages"][0]];
    const narrow = {
      ...uneven,
      stages: [
        { ...first, blocks: [{ dilation: 1, scale: 1, middleWidth: 5, outputWidth: 15 }] },
        { ...second, blocks: [{ dilation: 1, scale: 1, middleWidth: 9, outputWidth: 31 }] },
      ],
    };
    // Own: 5 * 30 + 9 * 62 / 4 = 289.5; in whole tiles of 8: 8 * 32 + 16 * 64 / 4 = 512.
    expect(formulateNetwork(engine, buildDiscrete(narrow, { kind: "search" }), BATCH).name).toBe(
      "plain: whole tiles of 8 channels take 1.77 times the MACs of its blocks, more than 1.5",
    );
  });

  it("where the engine has no blocked layout", () => {
    const network = buildDiscrete(uneven, { kind: "search" });
    expect(formulateNetwork(eagerEngine("cpu"), network, BATCH).name).toBe("plain: tfjs/cpu has no blocked layout");
  });
});
