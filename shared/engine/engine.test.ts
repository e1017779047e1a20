import { createEngine, eagerEngine, type Engine, type Signature, type Step } from "./engine";
import { batchNorm } from "./ops/batchNorm";
import { conv2d } from "./ops/conv2d";
import { crossEntropy } from "./ops/crossEntropy";
import { maxPool2x2 } from "./ops/maxPool";
import { relu } from "./ops/relu";
import { compareEngines } from "../testing/parity";
import { computingEnvironment } from "./native";
import { manifest, unpack } from "./parameters";
import { createRandom } from "./random";
import { createSession, requireProvider } from "./session";
import { tf } from "./tf";
import { trace } from "./tracer";

const f = (...shape: number[]): { shape: number[]; dtype: "float32" } => ({ shape, dtype: "float32" });
const cpu = { engine: "onnxruntime", provider: "cpu", threads: 1 } as const;

const layout = manifest([
  { name: "w1", shape: [4, 3, 3, 3] },
  { name: "g1", shape: [4] },
  { name: "b1", shape: [4] },
  { name: "w2", shape: [5, 4, 3, 1] },
  { name: "w3", shape: [5, 5, 1, 1] },
]);
const training: Signature = {
  weights: f(layout.size),
  images: f(2, 3, 8, 12),
  labels: { shape: [2, 4, 6], dtype: "int32" },
};

/** One convolution, norm, ReLU, pooling, dilated convolution and classifier; loss, gradient, and the batch's moments. */
const trainingStep: Step = ({ weights, images, labels }) => {
  let moments: Record<string, tf.Tensor> = {};
  const { value, grad } = tf.valueAndGrad((flat: tf.Tensor) => {
    const p = unpack(flat as tf.Tensor1D, layout) as Record<"w1" | "g1" | "b1" | "w2" | "w3", tf.Tensor>;
    const { y, mean, variance } = batchNorm(conv2d(images as tf.Tensor, p.w1), p.g1, p.b1, 1e-3);
    moments = { mean: tf.keep(mean), variance: tf.keep(variance) };
    const hidden = relu(conv2d(maxPool2x2(relu(y)), p.w2, { dilation: [2, 1] }));
    return crossEntropy(conv2d(hidden, p.w3), labels as tf.Tensor, tf.ones([5]));
  })(weights as tf.Tensor);
  return { loss: value, gradient: grad, ...moments };
};

describe("compiled steps", () => {
  let onnx: Engine;
  beforeAll(async () => {
    onnx = await createEngine(cpu);
  });

  it("agree with the eager CPU backend on a training step", async () => {
    const random = createRandom(1);
    const normals = (length: number): Float32Array => Float32Array.from({ length }, () => random.normal());
    const inputs = {
      weights: normals(layout.size),
      images: normals(576),
      labels: Int32Array.from({ length: 48 }, () => random.integer(6)),
    };
    const differences = await compareEngines(trainingStep, training, inputs, onnx, eagerEngine("cpu"));
    expect(Object.keys(differences)).toEqual(["loss", "gradient", "mean", "variance"]);
    for (const difference of Object.values(differences)) expect(difference).toBeLessThan(1e-5);
  });

  it("transpose no activation of rank 4, only filters and the operands of matrix products", () => {
    const { graph } = trace(trainingStep, training);
    const filters = new Set(layout.entries.filter(({ shape }) => shape.length === 4).map(({ shape }) => shape.join()));
    const transposed = graph.nodes.filter(({ op }) => op === "Transpose").map(({ inputs }) => inputs[0]?.shape ?? []);
    expect(transposed.filter((shape) => shape.length === 4 && !filters.has(shape.join()))).toEqual([]);
    expect(transposed.length).toBeGreaterThan(0);
  });

  it("unpack parameters with one Split and compute only the requested gradients", () => {
    const { graph } = trace(trainingStep, training);
    expect(graph.nodes.filter(({ op }) => op === "Split")).toHaveLength(1);
    const byScale: Step = ({ x, w, s }) => ({
      d: tf.grad((scale: tf.Tensor) => tf.sum(tf.mul(conv2d(x as tf.Tensor, w as tf.Tensor), scale)))(s as tf.Tensor),
    });
    const ops = trace(byScale, { x: f(1, 2, 4, 4), w: f(3, 2, 3, 3), s: f(1) }).graph.nodes.map(({ op }) => op);
    expect(ops.filter((op) => op === "Conv")).toHaveLength(1);
    expect(ops).not.toContain("FusedMatMul");
  });

  it("declare their outputs and write into given arrays, also if an output has the name of an input", async () => {
    const step: Step = ({ weights, rate }) => ({
      weights: tf.mul(weights as tf.Tensor, rate as tf.Tensor),
      copy: weights as tf.Tensor,
    });
    for (const engine of [onnx, eagerEngine("cpu")]) {
      const compiled = await engine.compile(step, { weights: f(3), rate: f() });
      expect(compiled.outputs).toEqual({ weights: f(3), copy: f(3) });
      const into = { weights: new Float32Array(3) };
      const inputs = { weights: Float32Array.of(1, 2, 3), rate: Float32Array.of(2) };
      const outputs = await compiled.run(inputs, into);
      expect(outputs.weights).toBe(into.weights);
      expect([...into.weights, ...(outputs.copy ?? [])]).toEqual([2, 4, 6, 1, 2, 3]);
      expect([...inputs.weights]).toEqual([1, 2, 3]);
      await compiled.release();
    }
  });

  it("reject inputs and output arrays of wrong type or length, naming them", async () => {
    const step: Step = ({ x, k }) => ({ y: tf.add(x as tf.Tensor, tf.cast(k as tf.Tensor, "float32")) });
    for (const engine of [onnx, eagerEngine("cpu")]) {
      const compiled = await engine.compile(step, { x: f(2, 2), k: { shape: [2], dtype: "int32" } });
      const [x, k] = [new Float32Array(4), new Int32Array(2)];
      await expect(compiled.run({ x })).rejects.toThrow(
        /input "k" is nothing, must be int32 of length 2 \(shape \[2\]\)/,
      );
      await expect(compiled.run({ x: new Float32Array(3), k })).rejects.toThrow(
        /input "x" is float32 of length 3, must be float32 of length 4/,
      );
      await expect(compiled.run({ x, k: new Float32Array(2) })).rejects.toThrow(
        /input "k" is float32 of length 2, must be int32/,
      );
      await expect(compiled.run({ x, k }, { y: new Int32Array(4) })).rejects.toThrow(/output "y" is int32 of length 4/);
      await expect(compiled.run({ x, k }, { y: x })).rejects.toThrow(/output "y" shares memory with input "x"/);
      await expect(compiled.run({ x, k }, { z: x })).rejects.toThrow(/output "z" is not one of y/);
      await compiled.release();
    }
  });

  it("do not run after their release", async () => {
    const compiled = await onnx.compile(({ x }) => ({ y: tf.neg(x as tf.Tensor) }), { x: f(1) });
    await compiled.release();
    await compiled.release();
    await expect(compiled.run({ x: new Float32Array(1) })).rejects.toThrow(/has been released/);
  });

  it("reject steps that cannot be traced, naming the reason", async () => {
    const x = { x: f(2, 3) };
    await expect(onnx.compile(({ x }) => ({ y: tf.erf(x as tf.Tensor) }), x)).rejects.toMatchObject({
      code: "UNIMPLEMENTED",
      message: "the tracer has no rule for the TF.js kernel Erf",
    });
    await expect(onnx.compile(({ x }) => ({ y: tf.scalar((x as tf.Tensor).dataSync()[0] ?? 0) }), x)).rejects.toThrow(
      /reads a tensor's values/,
    );
    await expect(onnx.compile(({ x }) => ({ y: tf.greater(x as tf.Tensor, 0) }), x)).rejects.toThrow(
      /output "y" is bool/,
    );
    // The tracer works after an error.
    const compiled = await onnx.compile(({ x }) => ({ y: tf.neg(x as tf.Tensor) }), x);
    expect((await compiled.run({ x: new Float32Array(6).fill(2) })).y?.[5]).toBe(-2);
    await compiled.release();
  });

  it("free all tensors on the eager backend, kept ones included", async () => {
    const compiled = await eagerEngine("cpu").compile(trainingStep, training);
    const inputs = {
      weights: new Float32Array(layout.size),
      images: new Float32Array(576),
      labels: new Int32Array(48),
    };
    await compiled.run(inputs);
    const before = tf.memory().numTensors;
    await compiled.run(inputs);
    expect(tf.memory().numTensors).toBe(before);
  });
});

/** Runs a GPU's graph on the CPU, where ONNX Runtime inserts its own casts for float16. */
const createOnCpu: typeof createSession = (model, options, how, name) =>
  createSession(model, { ...options, provider: "cpu" }, how, name);

describe("createEngine", () => {
  const before = process.env.NVIDIA_TF32_OVERRIDE;
  beforeEach(() => (process.env.NVIDIA_TF32_OVERRIDE = "0"));
  afterAll(() => {
    if (before === undefined) delete process.env.NVIDIA_TF32_OVERRIDE;
    else process.env.NVIDIA_TF32_OVERRIDE = before;
  });

  it("says where a GPU may round float32 to TF32; processes that compute forbid it unless the user allows it", async () => {
    expect(computingEnvironment()).toMatchObject({ NVIDIA_TF32_OVERRIDE: "0" });
    process.env.NVIDIA_TF32_OVERRIDE = "1";
    expect(computingEnvironment()).toMatchObject({ NVIDIA_TF32_OVERRIDE: "1" });
    const { name } = await createEngine({ ...cpu, provider: "cuda" }, { create: createOnCpu });
    expect(name).toMatch(/^onnxruntime\/cuda \d+\.\d+\.\d+ tf32$/);
    expect((await createEngine(cpu)).name).not.toContain("tf32");
    delete process.env.NVIDIA_TF32_OVERRIDE;
    expect(computingEnvironment()).toMatchObject({ NVIDIA_TF32_OVERRIDE: "0" });
  });

  it("names a low precision on GPUs, and scales the loss for float16 only", async () => {
    const wide = await createEngine({ ...cpu, provider: "cuda" }, { create: createOnCpu });
    const low = await createEngine({ ...cpu, provider: "cuda", precision: "float16" }, { create: createOnCpu });
    expect([wide.name, wide.lossScale]).toEqual([expect.stringMatching(/^onnxruntime\/cuda \d+\.\d+\.\d+$/), 1]);
    expect([low.name, low.lossScale]).toEqual([
      expect.stringMatching(/^onnxruntime\/cuda \d+\.\d+\.\d+ float16$/),
      1024,
    ]);
    const step: Step = ({ x, w }) => ({ y: conv2d(x as tf.Tensor, w as tf.Tensor) });
    const signature = { x: f(1, 2, 4, 4), w: f(2, 2, 3, 3) };
    const [first, second] = [await wide.compile(step, signature), await low.compile(step, signature)];
    // Two casts of inputs and one of the output.
    expect([first.nodes, second.nodes]).toEqual([1, 4]);
    const { y } = await second.run({ x: new Float32Array(32).fill(1), w: new Float32Array(36).fill(1) });
    expect([...new Set(y)]).toEqual([8, 12, 18]);
    await first.release();
    await second.release();
  });

  it.each([
    [{ precision: "float16" }, "provider cpu"],
    [{ precision: "bfloat16" }, "provider cpu"],
    [{ engine: "tensorflow", provider: "cuda", precision: "float16" }, "engine tensorflow"],
  ] as const)("refuses %p, naming field, value and what it wants", async (settings, found) => {
    await expect(createEngine({ ...cpu, ...settings })).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      message: `engine precision is ${settings.precision}, must be float32 with ${found}: lower ones need provider cuda or tensorrt of onnxruntime`,
    });
  });

  it("rejects a precision without convolution before it compiles a step", async () => {
    const options = { ...cpu, provider: "cuda", precision: "bfloat16" } as const;
    await expect(createEngine(options, { create: createOnCpu })).rejects.toMatchObject({
      reason: "ENGINE_UNAVAILABLE",
      message: expect.stringMatching(
        /^engine onnxruntime\/cuda is not .* the precision to float32, which is bfloat16$/,
      ) as string,
    });
  });

  it("names engine, provider and version", async () => {
    expect((await createEngine(cpu)).name).toMatch(/^onnxruntime\/cpu \d+\.\d+\.\d+$/);
    await expect(createEngine({ ...cpu, threads: 0 })).rejects.toThrow(/threads is 0/);
  });

  it.each(["cuda", "tensorrt"] as const)("reports in one line that %s is absent", async (provider) => {
    const refuse = (): never => {
      throw new Error("libonnxruntime_providers_shared.so: no such file");
    };
    const unavailable = {
      code: "FAILED_PRECONDITION",
      reason: "ENGINE_UNAVAILABLE",
      message: expect.stringMatching(`^engine onnxruntime/${provider} is not`) as string,
    };
    await expect(requireProvider({ provider, threads: 1 }, refuse)).rejects.toMatchObject(unavailable);
  });
});
