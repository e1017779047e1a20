import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { openDataset, type Dataset } from "../data/open";
import { createEngine } from "../engine/engine";
import { exportOnnx } from "../engine/onnx";
import { tf } from "../engine/tf";
import { deployOnnx } from "../network/deploy";
import { buildDiscrete } from "../network/discrete";
import { networkOnnx } from "../network/export";
import { randomBuffer, randomGenotype, smallSpace } from "../testing/networks";
import { writeLabel, writeText } from "../testing/pictures";
import { uniform } from "../testing/spaces";
import { discreteEvaluator } from "./evaluate";
import { evaluateModel } from "./evaluateModel";
import { openPredictor } from "./predictor";

const random = uniform(11);
const space = smallSpace({ inputHeight: 32, inputWidth: 48 });
const network = buildDiscrete(randomGenotype(space, random), { kind: "aggregation", pyramidChannels: 3, dropout: 0 });
const parameters = { weights: randomBuffer(network.weights, random), stats: randomBuffer(network.stats, random) };
const classes = ["a", "b", "c", "d", "e"];
const session = { provider: "cpu", threads: 1 } as const;

describe("a model evaluated on the validation split", () => {
  let folder: string;
  let dataset: Dataset;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "lathe-evaluate-"));
    await writeText(join(folder, "classes.txt"), classes.join("\n"));
    // Neither the size of the network nor the same for all.
    for (const [split, name, height, width] of [
      ["train", "0", 40, 60],
      ["validation", "1", 40, 60],
      ["validation", "2", 25, 31],
      ["validation", "3", 77, 96],
    ] as const) {
      const at = (kind: string) => join(folder, split, kind, `${name}.png`);
      await writeLabel(at("labels"), height, width, [0, 1, 2, 255, 3, 3, 1]);
      await writeText(at("images"), "");
      const rgb = Uint8Array.from({ length: height * width * 3 }, () => Math.floor(256 * random()));
      await sharp(rgb, { raw: { height, width, channels: 3 } }).png().toFile(at("images")); // prettier-ignore
    }
    dataset = await openDataset({ kind: "folder", path: folder, height: 32, width: 48, seed: 1 });
  });
  afterAll(async () => {
    await dataset.close();
    await rm(folder, { recursive: true });
  });

  const evaluated = async (bytes: Uint8Array, flags = {}) => {
    const predictor = await openPredictor(bytes, flags, session);
    const found = await evaluateModel(predictor, dataset.validation, classes.length);
    await predictor.release();
    return found;
  };

  it("has the scores of the training's evaluation, as network.onnx and in its deploy form", async () => {
    const engine = await createEngine({ engine: "onnxruntime", ...session });
    const evaluator = await discreteEvaluator(engine, network, 2);
    const { loss: _, ...wanted } = await evaluator.evaluate(
      parameters,
      dataset.validation,
      new Float32Array(5).fill(1),
    );
    await evaluator.release();
    expect(wanted.miou).toBeGreaterThan(0.02);
    const colors = classes.map(() => [0, 0, 0] as const);
    const origin = { classes, colors, search: "s", validationMiou: wanted.miou };
    for (const bytes of [networkOnnx(network, parameters, classes), deployOnnx(network, parameters, origin)]) {
      const found = await evaluated(bytes);
      expect(found).toMatchObject({ images: 3, predicted: { height: 32, width: 48 } });
      // On some processors, folded batch norms turn a pixel.
      expect(found.miou).toBeCloseTo(wanted.miou, 3);
      expect(found.accuracy).toBeCloseTo(wanted.accuracy, 3);
      const rows = found.confusion.map((row) => row.reduce((sum, pixels) => sum + pixels, 0));
      expect(rows).toEqual(await dataset.validation.countPixels(5));
    }
  });

  it("of another origin is scaled as told, and its smaller class map is enlarged", async () => {
    // Class 0 where the scaled red of a cell of 4x4 pixels is above 0, else class 3: (126.99 / 255 - 0.498) / 0.1 is 0.
    const bytes = exportOnnx({
      signature: { pixels: { shape: [1, 32, 48, 3], dtype: "float32" } },
      constants: {},
      step: ({ pixels }) => {
        const red = tf.slice(pixels as tf.Tensor4D, [0, 0, 0, 0], [1, 32, 48, 1]);
        const cells = tf.mean(tf.reshape(red, [1, 8, 4, 12, 4]), [2, 4]);
        const zero = tf.zerosLike(cells);
        return { logits: tf.stack([cells, tf.sub(zero, 9), tf.sub(zero, 9), zero, tf.sub(zero, 9)], 3) };
      },
    });
    await expect(evaluated(bytes)).rejects.toThrow("so --scale must say it");
    const found = await evaluated(bytes, { scale: 1 / 255, mean: [0.498, 0.498, 0.498], std: [0.1, 0.1, 0.1] });
    expect(found.predicted).toEqual({ height: 8, width: 12 });
    const wanted = Array.from({ length: 5 }, () => [0, 0, 0, 0, 0]);
    for (let index = 0; index < 3; index++) {
      const { image, label } = await dataset.validation.example(index);
      label.forEach((of, at) => {
        const [y, x] = [Math.floor(at / 48) & ~3, (at % 48) & ~3];
        let sum = 0;
        for (let row = y; row < y + 4; row++)
          for (let column = x; column < x + 4; column++) sum += image[3 * (row * 48 + column)]!;
        if (of !== 255) wanted[of]![sum / 16 > 0.498 * 255 ? 0 : 3]!++;
      });
    }
    expect(found.confusion).toEqual(wanted);
  });

  it("is refused where its classes are not those of the data, or its bytes are no model", async () => {
    const two = { ...network.genotype, classes: 3 };
    const other = buildDiscrete(two, { kind: "search" });
    const zeros = { weights: new Float32Array(other.weights.size), stats: new Float32Array(other.stats.size) };
    await expect(evaluated(networkOnnx(other, zeros, ["a", "b", "c"]))).rejects.toThrow(
      '"logits" is float32 [1,3,4,6]: one axis must have the 5 classes',
    );
    await expect(evaluated(Buffer.from("no model"))).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
  });
});
