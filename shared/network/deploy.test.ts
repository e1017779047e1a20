import * as ort from "onnxruntime-node";
import { resizeImage, type Size } from "../data/resize";
import { resizeIndices } from "../data/images";
import { onnxMetadata, openOnnx } from "../engine/onnx";
import { randomBuffer, randomGenotype, smallSpace } from "../testing/networks";
import { uniform } from "../testing/spaces";
import { deployOnnx } from "./deploy";
import { buildDiscrete } from "./discrete";
import type { Head } from "../space/head";
import { networkOnnx } from "./export";

const random = uniform(5);
const classes = ["road", "sky", "tree", "car", "überweg"];
const colors = classes.map((_, at) => [at, 10 * at, 255 - at] as const);
const origin = { classes, colors, search: "s-1", validationMiou: 0.525 };
const genotype = randomGenotype(smallSpace({ inputHeight: 48, inputWidth: 64 }), random);
const heads: Head[] = [
  { kind: "search" },
  { kind: "aggregation", pyramidChannels: 3, dropout: 0 },
  { kind: "aggregation", pyramidChannels: 3, dropout: 0, coarse: true },
];

const noisy = ({ height, width }: Size) =>
  Uint8Array.from({ length: height * width * 3 }, (_, at) => (random() < 0.3 ? 255 * random() : (at >> 5) % 256));

describe.each(heads)("the deploy form of a network with the $kind head", (head) => {
  const network = buildDiscrete(genotype, head);
  const parameters = { weights: randomBuffer(network.weights, random), stats: randomBuffer(network.stats, random) };
  const bytes = deployOnnx(network, parameters, origin);
  const [h, w] = [48 / network.stride, 64 / network.stride];

  /** Class map of the network at its own size, from an image of its size. */
  async function evaluated(images: readonly Uint8Array[]): Promise<Uint8Array[]> {
    const model = await openOnnx(networkOnnx(network, parameters, classes));
    const maps: Uint8Array[] = [];
    for (const rgb of images) {
      const image = Float32Array.from(
        { length: rgb.length },
        (_, at) => rgb[3 * (at % 3072) + Math.floor(at / 3072)]! / 255,
      );
      const { logits } = await model.run({ image });
      const of = (cell: number) => [0, 1, 2, 3, 4].map((c) => logits![c * h * w + cell]!);
      maps.push(Uint8Array.from({ length: h * w }, (_, cell) => of(cell).indexOf(Math.max(...of(cell)))));
    }
    await model.release();
    return maps;
  }

  it.each([
    [1, { height: 48, width: 64 }],
    [3, { height: 48, width: 64 }],
    [2, { height: 97, width: 120 }],
    [1, { height: 30, width: 200 }],
    [2, { height: 11, width: 17 }],
  ])("resizes %i images of %j as training does, and answers with its classes", async (count, size) => {
    const session = await ort.InferenceSession.create(bytes);
    const images = Array.from({ length: count }, () => noisy(size));
    const data = Uint8Array.from(images.flatMap((image) => [...image]));
    const out = await session.run({ images: new ort.Tensor("uint8", data, [count, size.height, size.width, 3]) });
    expect(out.classes!.dims).toEqual([count, h, w]);
    expect(out.classes_full!.dims).toEqual([count, size.height, size.width]);
    const maps = await evaluated(images.map((image) => resizeImage(image, size, { height: 48, width: 64 })));
    const found = out.classes!.data as Uint8Array;
    maps.forEach((map, at) => {
      const mine = found.subarray(at * h * w, (at + 1) * h * w);
      // On some processors, a sum of the resize that lies at a step is rounded otherwise.
      expect(mine.filter((value, cell) => value !== map[cell]).length).toBeLessThanOrEqual(
        Math.ceil(map.length / 1000),
      );
      const full = (out.classes_full!.data as Uint8Array).subarray(at * size.height * size.width);
      const enlarged = resizeIndices({ height: h, width: w, data: mine }, size);
      expect(full.subarray(0, enlarged.length)).toEqual(enlarged);
    });
    await session.release();
  });

  it("says in its metadata what it takes and gives, and where it comes from", () => {
    const { classes: names, colors: rgb, ...metadata } = onnxMetadata(bytes);
    expect([JSON.parse(names!), JSON.parse(rgb!)]).toEqual([classes, colors]);
    expect(metadata).toMatchObject({
      ...{ opset: "13", search: "s-1", validation_miou: "0.525", network_size: "48x64", head: head.kind },
      ...{ input: "RGB, uint8, NHWC, any batch, height and width" },
    });
    expect(metadata.preprocessing).toMatch(/antialiased bilinear/);
    expect(metadata).not.toHaveProperty("license");
    const { license, ...rest } = onnxMetadata(
      deployOnnx(network, parameters, { classes, search: "s-1", license: "CC0" }),
    );
    expect(license).toBe("CC0");
    for (const unknown of ["colors", "validation_miou"]) expect(rest).not.toHaveProperty(unknown);
  });
});
