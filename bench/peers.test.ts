import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openPredictor } from "../shared/evaluation/predictor";
import { uniform } from "../shared/testing/spaces";
import { PEERS, requireCourse, requireFits } from "./peers";
import { base64, openPyTorch, type PyTorch } from "./pytorch";
import { hasTorch } from "./pytorch.fixture";

it.each([
  ["fastscnn", 240, 'there is no peer "fastscnn", choose from ddrnet23slim, pidnet_s, bisenetv2, erfnet'],
  ["erfnet", 242, "--input is 242x320, must be multiples of 8"],
])("%s at a height of %d is refused", (name, height, message) => {
  expect(() => requireFits(["bisenetv2", name], [height, 320])).toThrow(message);
});

it("a state of another course is refused by its path, one of the same is not", () => {
  requireCourse("runs/erfnet.pt", "{}", "{}");
  expect(() => requireCourse("runs/erfnet.pt", '{"seed":1}', "{}")).toThrow(
    'runs/erfnet.pt is of another course, {"seed":1}: choose another --out, or delete the file',
  );
});

// Without PyTorch, they are skipped.
(hasTorch ? describe : describe.skip)("the peers", () => {
  let python: PyTorch;
  beforeAll(async () => {
    python = (await openPyTorch(1))!;
  });
  afterAll(() => python.close());

  const begin = (name: string, classes: number, height: number, width: number) =>
    python.call<{ parameters: number; macs: number }>("begin_peer", {
      ...{ name, height, width, classWeights: new Array<number>(classes).fill(1), decay: 0, seed: 1 },
    });

  // Millions of parameters as published, and billions of MACs at 1024x2048 and 19 classes: as published for DDRNet; for PIDNet of its own code.
  it.each([
    ["ddrnet23slim", 5.7, 36.3],
    ["pidnet_s", 7.6, 47.2],
    ["erfnet", 2.07, undefined],
  ])("%s has the published size", async (name, parameters, macs) => {
    const found = await begin(name, 19, 256, 512);
    expect(Math.abs(found.parameters / 1e6 / parameters - 1)).toBeLessThan(0.01);
    // Each side is a quarter of the published one.
    if (macs !== undefined) expect(Math.abs((16 * found.macs) / 1e9 / macs - 1)).toBeLessThan(0.01);
  });

  // ERFNet has dropout, so its next step also depends on the generator.
  it("a training continues from its file as if it had not ended", async () => {
    const [height, width] = [48, 80];
    const pixel = uniform(2);
    const images = base64(Float32Array.from({ length: 2 * 3 * height * width }, pixel));
    const labels = base64(Int32Array.from({ length: 2 * height * width }, () => Math.floor(3 * pixel())));
    const step = async () =>
      (await python.call<{ loss: number }>("step_peer", { images, labels, height, width, rate: 3e-3 })).loss;
    const path = join(mkdtempSync(join(tmpdir(), "peers-")), "erfnet.pt");
    await begin("erfnet", 3, height, width);
    await step();
    await python.call("save_peer", { path, record: { epoch: 1 } });
    const losses = [await step(), await step()];
    expect(await python.call("peer_record", { path })).toEqual({ record: { epoch: 1 } });
    await begin("erfnet", 3, height, width);
    expect(await python.call("load_peer", { path })).toEqual({ record: { epoch: 1 } });
    expect([await step(), await step()]).toEqual(losses);
  });

  it.each(PEERS)("%s learns, and is exported as what it is", async (name) => {
    const [height, width, batch] = [48, 80, 2];
    await begin(name, 3, height, width);
    const pixel = uniform(1);
    const rgb = Uint8Array.from({ length: batch * height * width * 3 }, () => Math.floor(256 * pixel()));
    // [N,H,W,3] bytes as [N,3,H,W] from 0 to 1. The label of a pixel is its half of the image.
    const images = new Float32Array(rgb.length);
    rgb.forEach((value, at) => {
      const [image, rest] = [Math.floor(at / (height * width * 3)), at % (height * width * 3)];
      images[(image * 3 + (rest % 3)) * height * width + Math.floor(rest / 3)] = value / 255;
    });
    const labels = Int32Array.from({ length: batch * height * width }, (_, at) => (at % width < width / 2 ? 0 : 2));
    const request = { images: base64(images), labels: base64(labels), height, width };
    const losses: number[] = [];
    for (let step = 0; step < 12; step++)
      losses.push((await python.call<{ loss: number }>("step_peer", { ...request, rate: 3e-3 })).loss);
    expect(losses.at(-1)).toBeLessThan(0.7 * losses[0]!);
    await python.call("keep_peer");
    const told = await python.call<{ classes: string }>("predict_peer", request);
    const own = Buffer.from(told.classes, "base64").subarray(0, height * width);
    const { onnx } = await python.call<{ onnx: string }>("export_peer", { height, width });
    // As `lathe evaluate --scale 1/255`.
    const flags = { scale: 1 / 255 };
    const predictor = await openPredictor(Buffer.from(onnx, "base64"), flags, { provider: "cpu", threads: 1 });
    const map = await predictor.predict(rgb.subarray(0, height * width * 3), { height, width }, 3);
    await predictor.release();
    const same = own.filter((value, at) => value === map.data[at]).length;
    expect(same / own.length).toBeGreaterThan(0.999);
  });
});
