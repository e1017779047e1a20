import { exportOnnx } from "../../shared/engine/onnx";
import { tf } from "../../shared/engine/tf";
import { deployOnnx } from "../../shared/network/deploy";
import { buildDiscrete } from "../../shared/network/discrete";
import { named } from "../../shared/network/layers";
import { randomBuffer, randomGenotype, smallSpace } from "../../shared/testing/networks";
import { uniform } from "../../shared/testing/spaces";
import { networkOnnxOf } from "./blocks";
import { measureNetwork } from "./network";
import { defaultSettings } from "./settings";

const never = new AbortController().signal;
const settings = { ...defaultSettings("cpu", 1), warmupRuns: 1, timedRuns: 7 };
const random = uniform(2);
const network = buildDiscrete(randomGenotype(smallSpace(), random), { kind: "search" });
const parameters = { weights: randomBuffer(network.weights, random), stats: randomBuffer(network.stats, random) };
const deploy = deployOnnx(network, parameters, { classes: [], colors: [], search: "s", validationMiou: 0 });
const doubled = (shape: number[], more: Record<string, number[]> = {}) =>
  exportOnnx({
    step: (tensors) => ({
      y: tf.add(named(tensors, "x"), named(tensors, "x")),
      ...(more.z && { w: tf.neg(named(tensors, "z")) }),
    }),
    signature: Object.fromEntries(
      Object.entries({ x: shape, ...more }).map(([name, extents]) => [
        name,
        { shape: extents, dtype: "float32" as const },
      ]),
    ),
    constants: {},
  });

const measure = async (model: Uint8Array, size?: { height: number; width: number }, batchSizes = [1]) =>
  (await measureNetwork({ model, size, batchSizes }, settings, never)).map(({ conditions }) => conditions);
const genotype = {
  inputHeight: 32,
  inputWidth: 64,
  classes: 5,
  stemChannels: 4,
  stages: [
    { channels: 8, blocks: [{ dilation: 1, scale: 1, middleWidth: 4, outputWidth: 8 }] },
    { channels: 12, blocks: [{ dilation: 2, scale: 2, middleWidth: 12, outputWidth: 4 }] },
  ],
};

describe("measureNetwork", () => {
  it("measures a network beside the calibration network, and says on what", async () => {
    const model = networkOnnxOf(genotype, 0);
    const [measured, ...others] = await measureNetwork({ model, size: undefined, batchSizes: [1] }, settings, never);
    const { samples, conditions } = measured!;
    expect(others).toEqual([]);
    expect(conditions).toMatchObject({
      ...{ deviceClass: "cpu", precision: "fp32", batchSize: 1, inputHeight: 32, inputWidth: 64, threads: 1 },
      device: expect.stringMatching(/logical core/) as unknown,
      runtime: expect.stringMatching(/^onnxruntime-node \d+\.\d+/) as unknown,
    });
    expect(samples.warmupRuns).toBe(1);
    expect(samples.seconds).toHaveLength(7);
    expect(samples.calibration.length).toBeGreaterThan(0);
    for (const seconds of [...samples.seconds, ...samples.calibration]) expect(seconds).toBeGreaterThan(0);
    expect(samples.elapsedMs).toBeGreaterThan(0);
  });

  it("measures bytes of a size and of batches that are given, and floats of either layout", async () => {
    const free = await measure(deploy, { height: 40, width: 70 }, [1, 3]);
    expect(free).toMatchObject([1, 3].map((batchSize) => ({ batchSize, inputHeight: 40, inputWidth: 70 })));
    const size = { inputHeight: 8, inputWidth: 9 };
    expect(await measure(doubled([1, 3, 8, 9]))).toMatchObject([size]);
    expect(await measure(doubled([1, 8, 9, 3]))).toMatchObject([size]);
    expect(await measure(doubled([2, 3, 8, 9]), undefined, [2])).toMatchObject([{ ...size, batchSize: 2 }]);
  });

  it.each<[string, Uint8Array, { height: number; width: number } | undefined, number[], string]>([
    ["a free size that is not given", deploy, undefined, [1], "its size is free, so the height and width of an image"],
    ["another size", doubled([1, 3, 8, 9]), { height: 8, width: 10 }, [1], "[1,3,8,9]: it does not take 8x10"],
    ["another batch", doubled([2, 3, 8, 9]), undefined, [2, 1], "[2,3,8,9]: it does not take a batch of 1"],
    [
      "two inputs",
      doubled([1, 3, 8, 9], { z: [1] }),
      undefined,
      [1],
      '"x" float32 [1,3,8,9], "z" float32 [1], must be one with four axes',
    ],
    ["bytes that are no model", Uint8Array.of(1, 2, 3), undefined, [1], "no ONNX model"],
  ])("refuses %s", async (_name, model, size, batches, message) => {
    await expect(measure(model, size, batches)).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      message: expect.stringContaining(message) as unknown,
    });
  });
});
