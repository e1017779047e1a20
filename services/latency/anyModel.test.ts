import { exportOnnx } from "../../shared/engine/onnx";
import { tf } from "../../shared/engine/tf";
import { deployOnnx } from "../../shared/network/deploy";
import { buildDiscrete } from "../../shared/network/discrete";
import { named } from "../../shared/network/layers";
import { randomBuffer, randomGenotype, smallSpace } from "../../shared/testing/networks";
import { uniform } from "../../shared/testing/spaces";
import { measureModel } from "./anyModel";
import { defaultSettings } from "./settings";

const never = new AbortController().signal;
const settings = { ...defaultSettings("cpu", 1), warmupRuns: 1, timedRuns: 4 };
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

describe("measureModel", () => {
  it("measures bytes of a size that is told, and floats of either layout", async () => {
    const conditions = { deviceClass: "cpu", batchSize: 1, threads: 1, runs: 4 };
    const free = await measureModel(deploy, { height: 40, width: 70 }, settings, never);
    expect(free).toMatchObject({ ...conditions, inputHeight: 40, inputWidth: 70 });
    expect(free.framesPerSecond).toBeCloseTo(1 / free.p50Seconds, 9);
    const size = { inputHeight: 8, inputWidth: 9 };
    expect(await measureModel(doubled([1, 3, 8, 9]), undefined, settings, never)).toMatchObject(size);
    expect(await measureModel(doubled([1, 8, 9, 3]), undefined, settings, never)).toMatchObject(size);
  });

  it.each([
    ["a free size that is not told", deploy, undefined, "its size is free, so --input HxW must say it"],
    [
      "a size that it does not take",
      doubled([1, 3, 8, 9]),
      { height: 8, width: 10 },
      "[1,3,8,9]: it does not take --input",
    ],
    ["a batch", doubled([2, 3, 8, 9]), undefined, "[2,3,8,9]: its batch must be 1 or free"],
    [
      "two inputs",
      doubled([1, 3, 8, 9], { z: [1] }),
      undefined,
      '"x" float32 [1,3,8,9], "z" float32 [1], must be one with four axes',
    ],
  ])("refuses %s", async (_name, model, size, message) => {
    await expect(measureModel(model, size, settings, never)).rejects.toThrow(message);
  });
});
