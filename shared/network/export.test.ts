import { onnxMetadata, openOnnx } from "../engine/onnx";
import { unpack } from "../engine/parameters";
import { relativeDifference } from "../testing/parity";
import { tf } from "../engine/tf";
import { ModelProto } from "../proto/onnx/onnx";
import type { Genotype } from "../proto/lathe/v1/space";
import { noise, randomBuffer, randomGenotype, smallSpace } from "../testing/networks";
import { uniform } from "../testing/spaces";
import { buildDiscrete, type DiscreteNetwork } from "./discrete";
import type { Head, HeadWidth } from "../space/head";
import { PYRAMID_BINS } from "../space/networkCosts";
import { networkOnnx } from "./export";
import { inferenceNorm } from "./layers";

const CLASSES = ["road", "sky", "tree", "car", "überweg"];
const random = uniform(21);
const drawn = randomGenotype(smallSpace(), random);
const heads: [Head, Pick<Genotype, HeadWidth["field"]>][] = [
  [{ kind: "search" }, {}],
  [{ kind: "aggregation", pyramidChannels: 3, dropout: 0.1 }, {}],
  [
    { kind: "aggregation", pyramidChannels: 3, dropout: 0.1 },
    { joinedWidth: 5, pyramidWidth: 0 },
  ],
  [
    { kind: "aggregation", pyramidChannels: 3, dropout: 0, coarse: true },
    { pyramidWidth: 2, detailWidth: 3 },
  ],
];

function parametersOf(network: DiscreteNetwork) {
  return { weights: randomBuffer(network.weights, random), stats: randomBuffer(network.stats, random) };
}

function eagerLogits(
  network: DiscreteNetwork,
  { weights, stats }: ReturnType<typeof parametersOf>,
  image: Float32Array,
  size: [number, number],
): tf.Tensor {
  return network.logits(
    unpack(tf.tensor1d(weights), network.weights),
    tf.tensor(image, [1, 3, ...size]),
    inferenceNorm(unpack(tf.tensor1d(stats), network.stats)),
  );
}

describe.each(heads)("ONNX of a network with the head %j and its widths %j", (head, widths) => {
  const genotype = { ...drawn, ...widths };
  const network = buildDiscrete(genotype, head);
  const parameters = parametersOf(network);

  it.each([
    [32, 64],
    [48, 32],
  ])("computes the network's logits at %dx%d", async (height, width) => {
    const sized = buildDiscrete({ ...genotype, inputHeight: height, inputWidth: width }, head);
    const model = await openOnnx(networkOnnx(sized, parameters, CLASSES));
    const image = noise(3 * height * width, random);
    const want = eagerLogits(network, parameters, image, [height, width]);
    const { logits } = await model.run({ image });
    expect(model.outputs.logits?.shape).toEqual(want.shape);
    expect(want.shape).toEqual([1, 5, height / network.stride, width / network.stride]);
    expect(relativeDifference(logits as Float32Array, want.dataSync<"float32">())).toBeLessThan(1e-5);
    await model.release();
  });

  it("has one input, weights, class names, and no batch norm", () => {
    const { graph, metadataProps } = ModelProto.decode(networkOnnx(network, parameters, CLASSES));
    const { node = [], initializer = [], input = [] } = graph ?? {};
    const metadata = Object.fromEntries(metadataProps.map(({ key, value }) => [key, value]));
    expect(input.map(({ name }) => name)).toEqual(["image"]);
    expect(JSON.parse(metadata.classes ?? "")).toEqual(CLASSES);
    expect(metadata.head).toBe(head.kind);
    expect(metadata).not.toHaveProperty("license");
    expect(onnxMetadata(networkOnnx(network, parameters, CLASSES, "CC BY 4.0"))).toEqual({
      ...metadata,
      license: "CC BY 4.0",
    });
    const cells = head.kind === "search" ? 8 : head.coarse ? 4 : 1;
    expect(metadata.logits).toBe(cells > 1 ? `at 1/${cells} of the input's height and width` : undefined);
    const constants = new Set(initializer.map(({ name }) => name));
    const convolutions = node.filter(({ opType }) => opType === "Conv");
    for (const { input: inputs } of convolutions)
      expect(inputs.slice(1).every((name) => constants.has(name))).toBe(true);
    expect(node.filter(({ opType }) => opType === "BatchNormalization")).toEqual([]);
    // A reduction has two: its own, and one that scales the pooled channels. So has the fusion of the head: one for each of its parts.
    const blocks = genotype.stages.reduce((sum, stage) => sum + stage.blocks.length, 0);
    const branches = widths.pyramidWidth === 0 ? 0 : PYRAMID_BINS.length;
    expect(convolutions).toHaveLength(6 + 2 * blocks + (head.kind === "search" ? 1 : 5 + branches));
  });
});
