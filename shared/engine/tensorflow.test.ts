import { existsSync } from "node:fs";
import { join } from "node:path";
import { compareEngines } from "../testing/parity";
import { createEngine, type Step } from "./engine";
import { nativeFolder } from "./native";
import { batchNorm } from "./ops/batchNorm";
import { conv2d } from "./ops/conv2d";
import { maxPool2x2 } from "./ops/maxPool";
import { relu } from "./ops/relu";
import { createRandom } from "./random";
import { requireEngine } from "./require";
import { elementCount } from "./signature";
import { requireTensorflow } from "./tensorflow";
import { tf } from "./tf";

const threads = 1;

describe("the tensorflow engine", () => {
  it("is named after its device and version", () => {
    const named = (provider: "cpu" | "cuda", usesGpu: boolean) =>
      requireTensorflow({ provider, threads }, () => ({ version: "2.12.1", usesGpu }));
    expect([named("cpu", false), named("cuda", true)]).toEqual(["tensorflow/cpu 2.12.1", "tensorflow/cuda 2.12.1"]);
  });

  it("refuses a GPU that TensorFlow does not find, instead of running on the CPU", () => {
    const onCpu = () => ({ version: "2.12.1", usesGpu: false });
    expect(() => requireTensorflow({ provider: "cuda", threads }, onCpu)).toThrow(
      expect.objectContaining({
        code: "FAILED_PRECONDITION",
        reason: "ENGINE_UNAVAILABLE",
        message: expect.stringMatching(
          /^engine tensorflow is not available here: provider cuda was asked for, but TensorFlow 2\.12\.1 finds no GPU: .*tensorflow:install -- --gpu/,
        ) as string,
      }) as Error,
    );
  });

  it("has no provider tensorrt, which it says before anything is loaded", async () => {
    await expect(createEngine({ engine: "tensorflow", provider: "tensorrt", threads })).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      message: "provider is tensorrt, must be cpu or cuda with engine tensorflow",
    });
  });

  it("counts the memory of its steps against the bound", async () => {
    const engine = await createEngine(
      { engine: "tensorflow", provider: "cpu", threads, memoryBytes: 2 ** 20 },
      { tensorflow: () => "tensorflow/cpu 2.12.1" },
    );
    const x = { shape: [4, 4], dtype: "float32" } as const;
    await expect(engine.compile(({ x }) => ({ y: tf.neg(x as tf.Tensor) }), { x }, "weights")).rejects.toMatchObject({
      reason: "MEMORY_EXCEEDED",
      message: expect.stringMatching(/^step "weights" needs about 1 MiB, .* may use 1 MiB/) as string,
    });
  });
});

// `npm run tensorflow:install` has been run here.
const installed = existsSync(join(nativeFolder("tensorflow"), "tfjs_binding.node"));

(installed ? describe : describe.skip)("libtensorflow", () => {
  const f = (...shape: number[]) => ({ shape, dtype: "float32" }) as const;
  const signature = { x: f(2, 3, 6, 10), w: f(4, 3, 3, 3), gain: f(4), bias: f(4) };
  /** A convolution, norm, ReLU and pooling with their derivatives. */
  const step: Step = (inputs) => {
    const { x, w, gain, bias } = inputs as Record<keyof typeof signature, tf.Tensor>;
    const { value, grads } = tf.valueAndGrads((w: tf.Tensor, gain: tf.Tensor) => {
      const { y } = batchNorm(conv2d(x, w, { dilation: [2, 1] }), gain, bias, 1e-3);
      return tf.sum(tf.square(maxPool2x2(relu(y))));
    })([w, gain]);
    return { value, dw: grads[0] as tf.Tensor, dgain: grads[1] as tf.Tensor };
  };

  it("computes what ONNX Runtime computes, and frees the tensors of a step", async () => {
    const engine = await createEngine({ engine: "tensorflow", provider: "cpu", threads });
    expect(engine.name).toMatch(/^tensorflow\/cpu \d+\.\d+\.\d+$/);
    const random = createRandom(1);
    const inputs = Object.fromEntries(
      Object.entries(signature).map(([name, { shape }]) => [
        name,
        Float32Array.from({ length: elementCount(shape) }, () => random.normal()),
      ]),
    );
    const onnx = await createEngine({ engine: "onnxruntime", provider: "cpu", threads });
    const differences = await compareEngines(step, signature, inputs, engine, onnx);
    expect(Object.keys(differences)).toEqual(["value", "dw", "dgain"]);
    for (const difference of Object.values(differences)) expect(difference).toBeLessThan(1e-5);
    const compiled = await engine.compile(step, signature);
    await compiled.run(inputs);
    const before = tf.memory().numTensors;
    await compiled.run(inputs);
    expect(tf.memory().numTensors).toBe(before);
  });

  it("computes the moments of many positions as well as one may in float32", async () => {
    const engine = await createEngine({ engine: "tensorflow", provider: "cpu", threads });
    const [n, c, h, w] = [8, 2, 64, 128];
    const random = createRandom(2);
    const x = Float32Array.from({ length: n * c * h * w }, () => 1 + random.normal());
    const compiled = await engine.compile(
      (inputs) => {
        const { mean, variance } = batchNorm(inputs.x as tf.Tensor, tf.ones([c]), tf.zeros([c]), 1e-3);
        return { mean, variance };
      },
      { x: f(n, c, h, w) },
    );
    const { mean, variance } = await compiled.run({ x });
    for (let channel = 0; channel < c; channel++) {
      const own = x.filter((_, at) => Math.floor(at / (h * w)) % c === channel);
      const wanted = own.reduce((sum, value) => sum + value, 0) / own.length;
      const squares = own.reduce((sum, value) => sum + (value - wanted) ** 2, 0) / own.length;
      expect(Math.abs(mean![channel]! / wanted - 1)).toBeLessThan(2 ** -22);
      expect(Math.abs(variance![channel]! / squares - 1)).toBeLessThan(2 ** -22);
    }
  });

  it("refuses to run on a CPU where a GPU was asked for", async () => {
    // A process of its own: libtensorflow looks for devices once.
    const asked = requireEngine({ engine: "tensorflow", provider: "cuda", threads });
    await expect(asked).rejects.toMatchObject({
      reason: "ENGINE_UNAVAILABLE",
      message: expect.stringMatching(/finds no GPU/) as string,
    });
  });
});
