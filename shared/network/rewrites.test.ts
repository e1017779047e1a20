import * as ort from "onnxruntime-node";
import { encodeDeploy } from "../engine/deploy/deploy";
import { encodeModel } from "../engine/encode";
import type { Graph } from "../engine/graph";
import { openOnnx } from "../engine/onnx";
import { view } from "../engine/parameters";
import { REWRITES, rewritten } from "../engine/rewrites/table";
import type { Genotype } from "../proto/lathe/v1/space";
import type { Head } from "../space/head";
import { KINDS } from "../space/kinds/kinds";
import { relativeDifference } from "../testing/parity";
import { noise, randomBuffer } from "../testing/networks";
import { uniform } from "../testing/spaces";
import { buildDiscrete } from "./discrete";
import { networkGraph } from "./networkGraph";

const random = uniform(17);
/** Features at 1/8 have 484 pixels, more than the 441 cells of the pyramid's grid. */
const [HEIGHT, WIDTH] = [176, 176];

/** Blocks of a stage by their output widths; every third works at half the resolution. */
const stage = (channels: number, widths: readonly number[]) => ({
  channels,
  blocks: widths.map((outputWidth, at) => ({
    ...{ dilation: 1 + (at % 2), scale: at % 3 === 2 ? 2 : 1, middleWidth: channels - 3 * (at % 2), outputWidth },
  })),
});
const genotype = (stem: number, ...stages: ReturnType<typeof stage>[]): Genotype => ({
  ...{ inputHeight: HEIGHT, inputWidth: WIDTH, classes: 5, stemChannels: stem, stages },
});

/** The same with every kind of operation in turn. */
const kindsOf = (of: ReturnType<typeof stage>, first: number) => ({
  ...of,
  blocks: of.blocks.map((block, at) => {
    const { kind, dilated } = KINDS[(first + at) % KINDS.length]!;
    return { ...block, kind, dilation: dilated ? block.dilation : 1 };
  }),
});

const search: Head = { kind: "search" };
const aggregation: Head = { kind: "aggregation", pyramidChannels: 3, dropout: 0 };
const cases: [string, Genotype, Head][] = [
  ["widths that stay", genotype(16, stage(32, [32, 32, 32]), stage(48, [48])), aggregation],
  [
    "widths that change within a tile",
    genotype(8, stage(24, [20, 23, 18, 24]), stage(40, [37, 36, 40, 33])),
    aggregation,
  ],
  ["widths that lose a tile", genotype(8, stage(40, [40, 20, 12]), stage(50, [49, 31, 16])), aggregation],
  ["widths that gain a tile", genotype(6, stage(40, [10, 20, 40]), stage(64, [15, 33, 60])), aggregation],
  ["a stage without a block", genotype(12, stage(20, [17]), stage(36, [])), aggregation],
  [
    "every kind of operation, and three stages",
    genotype(
      8,
      kindsOf(stage(24, [20, 23, 18, 24]), 0),
      kindsOf(stage(40, [37, 16, 40, 33, 40]), 2),
      kindsOf(stage(50, [31, 50]), 4),
    ),
    aggregation,
  ],
  ["a search head", genotype(8, stage(24, [20, 24]), stage(40, [37, 21, 40])), search],
  ["a search head of three stages", genotype(8, stage(24, [20]), stage(40, [37]), stage(50, [31])), search],
];

const counted = ({ nodes }: Graph, op: string) => nodes.filter((node) => node.op === op).length;

describe.each(cases)("the graph of a network with %s", (_, described, head) => {
  const network = buildDiscrete(described, head);
  const parameters = { weights: randomBuffer(network.weights, random), stats: randomBuffer(network.stats, random) };
  const image = noise(3 * HEIGHT * WIDTH, random);
  const bias = view(parameters.weights, network.weights, head.kind === "search" ? "head/bias" : "head/classifier/bias");
  let want: Float32Array;
  let plain: Graph;

  beforeAll(async () => {
    want = await logitsOf(networkGraph(network, parameters));
    const pixels = want.length / bias.length;
    // All classes get the same mean, so that each is the largest somewhere.
    const means = bias.map((_, k) => want.slice(k * pixels, (k + 1) * pixels).reduce((sum, x) => sum + x / pixels, 0));
    bias.forEach((value, k) => (bias[k] = value - (means[k] ?? 0)));
    plain = networkGraph(network, parameters);
    want = await logitsOf(plain);
  });

  async function logitsOf(graph: Graph): Promise<Float32Array> {
    const model = await openOnnx(encodeModel(graph, "network"));
    const { logits } = await model.run({ image });
    await model.release();
    return logits as Float32Array;
  }

  it.each(Object.keys(REWRITES) as (keyof typeof REWRITES)[])("computes the same after %s alone", async (name) => {
    expect(relativeDifference(await logitsOf(rewritten(plain, [REWRITES[name]])), want)).toBeLessThan(1e-5);
  });

  it("computes the same after all, without a norm, and without a slice or concatenation in a block", async () => {
    const graph = rewritten(plain);
    expect(relativeDifference(await logitsOf(graph), want)).toBeLessThan(1e-5);
    expect(counted(graph, "BatchNormalization")).toBe(0);
    const inBlocks = graph.nodes.filter(({ name, op }) => /\/block/.test(name) && /Slice|Concat|Split/.test(op));
    expect(inBlocks.map(({ name }) => name)).toEqual([]);
    // The stem and the fusion of the head have become sums; so has the pyramid, whose bins of 192 x 256 are fewer than its features.
    // With three stages its features are fewer than its cells, so the pyramid and its context stay.
    expect(counted(graph, "Concat")).toBeLessThanOrEqual(described.stages.length === 2 ? 3 : 5);
  });

  it("has no constant that a conversion to float16 or int8 would spoil", () => {
    const { initializers } = rewritten(plain);
    const floats = initializers.filter(({ value }) => value.dtype === "float32");
    expect(floats.length).toBeGreaterThan(10);
    for (const { value, data } of floats) {
      const largest = new Float32Array(data.slice().buffer).reduce((most, x) => Math.max(most, Math.abs(x)), 0);
      expect([value.name, largest <= 1e4]).toEqual([value.name, true]);
    }
  });

  it("gives the classes of the plain deploy form, for two images", async () => {
    const images = Uint8Array.from({ length: 2 * HEIGHT * WIDTH * 3 }, () => 256 * random());
    const maps = await Promise.all(
      [[], undefined].map(async (rewrites) => {
        const session = await ort.InferenceSession.create(encodeDeploy(plain, {}, rewrites));
        const out = await session.run({ images: new ort.Tensor("uint8", images, [2, HEIGHT, WIDTH, 3]) });
        await session.release();
        return out.classes!.data as Uint8Array;
      }),
    );
    const [before, after] = maps as [Uint8Array, Uint8Array];
    expect(new Set(before).size).toBeGreaterThan(1);
    // A class changes where two logits lie within a rounding error of each other.
    expect(after.filter((value, at) => value !== before[at]).length).toBeLessThanOrEqual(after.length / 10_000);
  });
});
