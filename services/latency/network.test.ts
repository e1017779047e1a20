import { exportOnnx } from "../../shared/engine/onnx";
import { named } from "../../shared/network/layers";
import { searchNetworkOnnx } from "./blocks";
import { measureNetwork } from "./network";
import { defaultSettings } from "./settings";

const never = new AbortController().signal;
const settings = { ...defaultSettings("cpu", 1), warmupRuns: 2, timedRuns: 7 };
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
  it("measures a real network and returns the conditions of the measurement", async () => {
    const { latency, samples } = await measureNetwork(searchNetworkOnnx(genotype), settings, never);
    expect(latency).toMatchObject({
      deviceClass: "cpu",
      precision: "fp32",
      batchSize: 1,
      inputHeight: 32,
      inputWidth: 64,
      threads: 1,
      runs: 7,
    });
    expect(latency.device).toMatch(/logical core/);
    expect(latency.runtime).toMatch(/^onnxruntime-node \d+\.\d+/);
    expect(samples).toHaveLength(7);
    const { p50Seconds, p95Seconds, p99Seconds, meanSeconds, framesPerSecond } = latency;
    expect(0 < p50Seconds && p50Seconds <= p95Seconds && p95Seconds <= p99Seconds).toBe(true);
    expect(meanSeconds).toBeLessThanOrEqual(Math.max(...samples));
    expect(framesPerSecond).toBeCloseTo(1 / p50Seconds, 9);
  });

  it("refuses a model whose input is not one image", async () => {
    const model = exportOnnx({
      name: "pair",
      step: (tensors) => ({ y: named(tensors, "x").add(named(tensors, "z")) }),
      signature: { x: { shape: [3], dtype: "float32" }, z: { shape: [3], dtype: "float32" } },
      constants: {},
    });
    await expect(measureNetwork(model, settings, never)).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      reason: "MODEL_UNSUPPORTED",
      message: `the network's inputs are "x" float32 [3], "z" float32 [3], must be one float32 [1,channels,height,width]`,
    });
    await expect(measureNetwork(Uint8Array.of(1, 2, 3), settings, never)).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
    });
  });
});
