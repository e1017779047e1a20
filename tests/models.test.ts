import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as ort from "onnxruntime-node";
import sharp from "sharp";
import { readPng } from "../shared/data/png";
import { exportOnnx } from "../shared/engine/onnx";
import { relu } from "../shared/engine/ops/relu";
import { tf } from "../shared/engine/tf";
import { deployOnnx } from "../shared/network/deploy";
import { buildDiscrete } from "../shared/network/discrete";
import { randomBuffer, randomGenotype, smallSpace } from "../shared/testing/networks";
import { writeLabel, writeText } from "../shared/testing/pictures";
import { uniform } from "../shared/testing/spaces";
import { startCommand } from "./latheCommand";

const folder = mkdtempSync(join(tmpdir(), "lathe-models-"));
afterAll(() => rmSync(folder, { recursive: true }));

const classes = ["road", "sky", "tree", "car", "person"];
const colors = classes.map((_, at) => [50 * at, 200, 10] as const);
const sizes = { one: [40, 60], two: [32, 64] } as const;

beforeAll(async () => {
  const random = uniform(3);
  const network = buildDiscrete(randomGenotype(smallSpace(), random), {
    ...{ kind: "aggregation", pyramidChannels: 3, dropout: 0 },
  });
  const parameters = { weights: randomBuffer(network.weights, random), stats: randomBuffer(network.stats, random) };
  const origin = { classes, colors, search: "s-1", validationMiou: 0.5 };
  writeFileSync(join(folder, "deploy.onnx"), deployOnnx(network, parameters, origin));
  const signature = { x: { shape: [1, 3, 32, 64], dtype: "float32" as const } };
  const foreign = exportOnnx({ step: ({ x }) => ({ y: relu(x as tf.Tensor) }), signature, constants: {} });
  writeFileSync(join(folder, "foreign.onnx"), foreign);
  await writeText(join(folder, "data/classes.txt"), ["road", "sky", "bush", "car", "person"].join("\n"));
  for (const [split, name] of [
    ["train", "one"],
    ["validation", "one"],
    ["validation", "two"],
  ] as const) {
    const [height, width] = sizes[name];
    await writeLabel(join(folder, "data", split, "labels", `${name}.png`), height, width, [0, 1, 3, 255, 4]);
    mkdirSync(join(folder, "data", split, "images"), { recursive: true });
    const rgb = Uint8Array.from({ length: height * width * 3 }, () => Math.floor(256 * random()));
    await sharp(rgb, { raw: { height, width, channels: 3 } })
      .png()
      .toFile(join(folder, "data", split, "images", `${name}.png`));
  }
});

async function lathe(...args: string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const { ended, said } = startCommand(folder, args);
  return { code: await ended, ...said };
}

/** What ONNX Runtime itself makes of an image with deploy.onnx. */
async function answer(name: keyof typeof sizes): Promise<Record<string, ort.Tensor>> {
  const [height, width] = sizes[name];
  const rgb = await sharp(readFileSync(join(folder, "data/validation/images", `${name}.png`))).raw().toBuffer(); // prettier-ignore
  const session = await ort.InferenceSession.create(join(folder, "deploy.onnx"));
  const out = await session.run({ images: new ort.Tensor("uint8", new Uint8Array(rgb), [1, height, width, 3]) });
  await session.release();
  return out;
}

interface Evaluation {
  miou: number;
  classesCounted: number;
  confusion: number[][];
  classes: { iou: number; occurs: boolean }[];
}

describe("lathe evaluate and lathe predict", () => {
  it("measure a deploy form as its own runtime answers to the images as they are", async () => {
    const [json, text] = await Promise.all([
      lathe("evaluate", "deploy.onnx", "data", "--json"),
      lathe("evaluate", "deploy.onnx", "data"),
    ]);
    expect(json.code).toBe(0);
    const found = JSON.parse(json.stdout) as Evaluation;
    const wanted = classes.map(() => classes.map(() => 0));
    for (const name of ["one", "two"] as const) {
      const label = await readPng(readFileSync(join(folder, "data/validation/labels", `${name}.png`)));
      const { data } = (await answer(name)).classes as { data: Uint8Array };
      data.forEach((predicted, at) => {
        const [y, x] = [Math.floor(at / 64) + 0.5, (at % 64) + 0.5];
        const pixel = Math.floor((y * label.height) / 32) * label.width + Math.floor((x * label.width) / 64);
        const of = wanted[label.data[pixel]!];
        if (of) of[predicted]!++;
      });
    }
    expect(found.confusion).toEqual(wanted);
    const occurring = found.classes.filter(({ occurs }) => occurs);
    expect(found.classesCounted).toBe(occurring.length);
    expect(found.miou).toBeCloseTo(occurring.reduce((sum, { iou }) => sum + iou, 0) / occurring.length, 12);
    expect(text.stdout).toContain(
      `2 validation images, compared at 32x64\n\n  mIoU            ${(100 * found.miou).toFixed(2)} %, over ${occurring.length} of 5 classes\n`,
    );
    for (const { stderr } of [json, text])
      expect(stderr).toBe(
        'lathe: class 2 is "tree" in the model and "bush" in the data set: the order of the classes may differ\n',
      );
  });

  it("draw class map, colours and overlay of each image at its own size", async () => {
    const { code, stdout } = await lathe("predict", "deploy.onnx", "data/validation/images", "--out", "drawn");
    expect([code, stdout]).toEqual([0, `2 images: classes, colors and overlay of each in ${join(folder, "drawn")}\n`]);
    for (const name of ["one", "two"] as const) {
      const [height, width] = sizes[name];
      const map = await readPng(readFileSync(join(folder, "drawn", `${name}.classes.png`)));
      const { data } = (await answer(name)).classes_full as { data: Uint8Array };
      expect(map).toEqual({ data: new Uint8Array(data), height, width, channels: 1 });
      const pixels = (file: string) => sharp(readFileSync(file)).raw().toBuffer(); // prettier-ignore
      const colored = await pixels(join(folder, "drawn", `${name}.colors.png`));
      expect(colored).toEqual(Buffer.from([...data].flatMap((value) => colors[value]!)));
      const image = await pixels(join(folder, "data/validation/images", `${name}.png`));
      const overlay = await pixels(join(folder, "drawn", `${name}.overlay.png`));
      expect(overlay).toEqual(Buffer.from(image.map((value, at) => (value + colored[at]!) >> 1)));
    }
  });

  it("are beside a measurement of latency, by the measuring process of the latency service", async () => {
    const { code, stdout } = await lathe(
      ...["profile", "network", "deploy.onnx", "--input", "40x60", "--warm-up", "1", "--runs", "3", "--json"],
    );
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject([
      { deviceClass: "cpu", inputHeight: 40, inputWidth: 60, runs: 3, threads: 1 },
    ]);
  });

  it("refuse in one line what they do not understand, and say which flag tells it", async () => {
    const outcomes = await Promise.all([
      lathe("evaluate", "foreign.onnx", "data"),
      lathe("evaluate", "foreign.onnx", "data", "--scale", "1/255"),
      lathe("evaluate", "deploy.onnx"),
      lathe("evaluate", "none.onnx", "data"),
      lathe("evaluate", "data/classes.txt", "data"),
      lathe("predict", "foreign.onnx", "data/validation/images", "--out", "no", "--mean", "1,2"),
      lathe("predict", "deploy.onnx", "data/train/images", "data/validation/images", "--out", "no"),
    ]);
    for (const { code, stdout } of outcomes) expect([code, stdout]).toEqual([2, ""]);
    expect(outcomes.map(({ stderr }) => stderr.replaceAll(folder, "."))).toEqual([
      'lathe: the model\'s input "x" is float32 [1,3,32,64]: the model does not say how it scales pixels, so --scale must say it (1/255 for 0..1, with --mean and --std where it was trained so)\n',
      'lathe: the model\'s output "y" is float32 [1,3,32,64]: one axis must have the 5 classes\n',
      "lathe: no data set is given: name its folder after the model, or use -f spec.yaml\n",
      expect.stringMatching(/^lathe: model \.\/none\.onnx cannot be read: ENOENT/) as string,
      expect.stringMatching(/^lathe: \d+ bytes are no ONNX model\n$/) as string,
      "lathe: option '--mean <r,g,b>' argument '1,2' is invalid. It must be three numbers, as 0.485,0.456,0.406.\n",
      "lathe: ./data/train/images/one.png and ./data/validation/images/one.png would both be drawn as one.*.png: predict them one after the other\n",
    ]);
  });
});
