import { createEngine, eagerEngine, type Arrays, type Engine, type Signature, type Step } from "../engine";
import { compareEngines, relativeDifference } from "../../testing/parity";
import { createRandom } from "../random";
import { elementCount } from "../signature";
import { tf } from "../tf";
import { argmaxChannels } from "./argmaxChannels";
import { averagePool2x2 } from "./averagePool";
import { batchNorm, batchNormInference } from "./batchNorm";
import { conv2d } from "./conv2d";
import { crossEntropy } from "./crossEntropy";
import { depthwise } from "./depthwise";
import { maxPool2x2 } from "./maxPool";
import { relu } from "./relu";
import { adaptiveAveragePool, resizeBilinear } from "./resize";
import { take } from "./take";

type Tensors = Record<string, tf.Tensor>;

interface Case {
  inputs: Record<string, number[]>;
  operation: (t: Tensors) => tf.Tensor;
  /** Inputs whose derivative is checked; all by default. */
  by?: string[];
}

const get = (t: Tensors, name: string): tf.Tensor => t[name] as tf.Tensor;

const conv = (x: number[], w: number[], stride: 1 | 2, dilation: [number, number]): Case => ({
  inputs: { x, w },
  operation: (t) => conv2d(get(t, "x"), get(t, "w"), { stride, dilation }),
});

const deep = (x: number[], w: number[], dilation: [number, number]): Case => ({
  inputs: { x, w },
  operation: (t) => depthwise(get(t, "x"), get(t, "w"), dilation),
});

const ofX = (shape: number[], operation: (x: tf.Tensor) => tf.Tensor): Case => ({
  inputs: { x: shape },
  operation: (t) => operation(get(t, "x")),
});

const cases: Record<string, Case> = {
  "elements taken in another order": ofX([2, 3], (x) => take(x, [4, -1, 0, 5, -1])),
  "all elements taken": ofX([2, 2], (x) => take(x, [3, 0, 2, 1])),
  "conv 3x3": conv([2, 3, 6, 5], [4, 3, 3, 3], 1, [1, 1]),
  "conv 3x1 dilated 2": conv([2, 3, 7, 4], [4, 3, 3, 1], 1, [2, 1]),
  "conv 1x3 dilated beyond the width": conv([2, 3, 4, 7], [2, 3, 1, 3], 1, [1, 16]),
  "conv 1x1": conv([2, 3, 4, 5], [4, 3, 1, 1], 1, [1, 1]),
  "conv 3x3 stride 2, even": conv([2, 3, 6, 8], [4, 3, 3, 3], 2, [1, 1]),
  "conv 3x3 stride 2, odd": conv([2, 3, 7, 5], [4, 3, 3, 3], 2, [1, 1]),
  "conv 1x1 stride 2": conv([1, 3, 6, 8], [4, 3, 1, 1], 2, [1, 1]),
  "conv 5x3 stride 2 dilated": conv([1, 2, 9, 8], [2, 2, 5, 3], 2, [1, 2]),
  "depthwise 3x3": deep([2, 3, 6, 5], [3, 1, 3, 3], [1, 1]),
  "depthwise 5x5": deep([2, 3, 7, 8], [3, 1, 5, 5], [1, 1]),
  "depthwise 3x3 dilated, beyond the height": deep([2, 2, 4, 9], [2, 1, 3, 3], [5, 2]),
  batchNorm: {
    inputs: { x: [3, 4, 4, 5], gamma: [4], beta: [4] },
    // Moved away from mean 0, where a wrong term of the derivative would hide.
    operation: (t) => batchNorm(tf.add(get(t, "x"), 2), get(t, "gamma"), get(t, "beta"), 1e-3).y,
  },
  batchNormInference: {
    inputs: { x: [2, 4, 3, 5], gamma: [4], beta: [4] },
    operation: (t) => {
      const [mean, variance] = [tf.tensor1d([0.1, -0.2, 0.3, 0.5]), tf.tensor1d([1, 2, 0.5, 0.1])];
      return batchNormInference(get(t, "x"), get(t, "gamma"), get(t, "beta"), mean, variance, 1e-3);
    },
  },
  relu: ofX([2, 3, 4, 5], relu),
  maxPool2x2: ofX([2, 3, 4, 6], maxPool2x2),
  averagePool2x2: ofX([2, 3, 4, 6], averagePool2x2),
  "resizeBilinear up": ofX([2, 3, 4, 5], (x) => resizeBilinear(x, 8, 10)),
  "resizeBilinear down to a point": ofX([2, 3, 4, 5], (x) => resizeBilinear(x, 1, 3)),
  adaptiveAveragePool: ofX([2, 3, 7, 5], (x) => adaptiveAveragePool(x, 3, 2)),
  "adaptiveAveragePool to more bins than pixels": ofX([2, 3, 4, 5], (x) => adaptiveAveragePool(x, 6, 9)),
  crossEntropy: {
    inputs: { logits: [2, 4, 3, 5] },
    operation: (t) => {
      const labels = tf.tensor3d(
        Int32Array.from({ length: 30 }, (_, i) => (i % 7 === 0 ? 255 : i % 4)),
        [2, 3, 5],
        "int32",
      );
      return crossEntropy(get(t, "logits"), labels, tf.tensor1d([1, 0.5, 2, 3]));
    },
  },
};

/** A weighted sum of the operation's elements, its value and its derivatives: outputs y, loss and d_<input>. */
function withDerivatives({ inputs, operation, by = Object.keys(inputs) }: Case): Step {
  return (tensors) => {
    const loss = (...xs: tf.Tensor[]): tf.Scalar => {
      const y = operation({ ...tensors, ...Object.fromEntries(by.map((name, i) => [name, xs[i] as tf.Tensor])) });
      const coefficients = tf.tensor(
        Float32Array.from({ length: y.size }, (_, i) => Math.sin(i * 1.7) + 0.3),
        y.shape,
      );
      return tf.sum(tf.mul(y, coefficients));
    };
    const { value, grads } = tf.valueAndGrads(loss)(by.map((name) => get(tensors, name)));
    return {
      y: operation(tensors),
      loss: value,
      ...Object.fromEntries(by.map((name, i) => [`d_${name}`, grads[i] as tf.Tensor])),
    };
  };
}

const signatureOf = (shapes: Record<string, number[]>): Signature =>
  Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [name, { shape, dtype: "float32" as const }]));

const normals = (shapes: Record<string, number[]>, seed: number): Arrays => {
  const random = createRandom(seed);
  return Object.fromEntries(
    Object.entries(shapes).map(([name, shape]) => [
      name,
      Float32Array.from({ length: elementCount(shape) }, () => random.normal()),
    ]),
  );
};

describe("own operations", () => {
  let onnx: Engine;
  const eager = eagerEngine("cpu");
  beforeAll(async () => {
    onnx = await createEngine({ engine: "onnxruntime", provider: "cpu", threads: 1 });
  });

  it.each(Object.keys(cases))("%s: compiled and eager agree in value and derivatives", async (name) => {
    const subject = cases[name] as Case;
    const inputs = normals(subject.inputs, 1);
    const differences = await compareEngines(
      withDerivatives(subject),
      signatureOf(subject.inputs),
      inputs,
      onnx,
      eager,
    );
    expect(Object.keys(differences)).toContain(`d_${Object.keys(subject.inputs)[0]}`);
    for (const difference of Object.values(differences)) expect(difference).toBeLessThan(1e-5);
  });

  it.each(Object.keys(cases))("%s: eager derivatives are the limits of finite differences", async (name) => {
    const subject = cases[name] as Case;
    const inputs = normals(subject.inputs, 2);
    const compiled = await eager.compile(withDerivatives(subject), signatureOf(subject.inputs));
    const derivatives = await compiled.run(inputs);
    const loss = async (): Promise<number> => (await compiled.run(inputs)).loss?.[0] as number;
    const step = 1e-2;
    for (const [input, values] of Object.entries(inputs)) {
      const analytic = derivatives[`d_${input}`] as Float32Array;
      const picked = Array.from({ length: Math.min(6, values.length) }, (_, i) => Math.floor((i * values.length) / 6));
      for (const i of picked) {
        const x = values[i] as number;
        values[i] = x + step;
        const above = await loss();
        values[i] = x - step;
        const below = await loss();
        values[i] = x;
        const bound = 5e-3 * Math.max(1, ...analytic.map(Math.abs));
        expect(Math.abs((above - below) / (2 * step) - (analytic[i] as number))).toBeLessThan(bound);
      }
    }
  });

  it("resizes as TF.js does with aligned corners", () => {
    const x = tf.randomNormal([2, 3, 4, 5], 0, 1, "float32", 3);
    const want = tf.transpose(
      tf.image.resizeBilinear(tf.transpose(x, [0, 2, 3, 1]) as tf.Tensor4D, [7, 9], true),
      [0, 3, 1, 2],
    );
    expect(relativeDifference(resizeBilinear(x, 7, 9).dataSync(), want.dataSync())).toBeLessThan(1e-5);
  });

  it("averages over PyTorch's overlapping bins", () => {
    const x = tf.tensor4d([1, 2, 3, 4, 5], [1, 1, 1, 5]);
    expect([...adaptiveAveragePool(x, 1, 3).dataSync()]).toEqual([1.5, 3, 4.5]);
  });

  it("returns the biased moments of the batch, without a derivative through them", () => {
    const x = tf.tensor4d([1, 3, 5, 7, 2, 2, 2, 2], [1, 2, 2, 2]);
    const ones = tf.ones([2]);
    const { mean, variance } = batchNorm(x, ones, ones, 1e-3);
    expect([...mean.dataSync(), ...variance.dataSync()]).toEqual([4, 2, 5, 0]);
    const derivative = tf.grad((input) => tf.sum(batchNorm(input, ones, ones, 1e-3).mean))(x);
    expect(Math.max(...derivative.dataSync().map(Math.abs))).toBeLessThan(1e-6);
  });

  it("keeps a variance lost to cancellation at 0 or above", async () => {
    const channels = 64;
    const step: Step = ({ x, g }) => ({ ...batchNorm(x as tf.Tensor, g as tf.Tensor, g as tf.Tensor, 1e-3) });
    const compiled = await onnx.compile(step, signatureOf({ x: [4, channels, 8, 8], g: [channels] }));
    // Constant channels of many sizes: for some, rounding takes E[x^2] below E[x]^2.
    const x = Float32Array.from(
      { length: 256 * channels },
      (_, i) => 1234.567 + 3.21 * (Math.floor(i / 64) % channels),
    );
    const { y, variance } = await compiled.run({ x, g: new Float32Array(channels).fill(1) });
    expect(Math.min(...(variance ?? []))).toBe(0);
    expect([...(y ?? [])].every(Number.isFinite)).toBe(true);
    await compiled.release();
  });

  it("weights cross entropy as PyTorch does (value computed by hand)", () => {
    // Two pixels of classes 0 and 1 with p = 0.5 and 0.25 and weights 1 and 3, one ignored pixel.
    const logits = tf.tensor4d([0, Math.log(3), 9, 0, 0, -4], [1, 2, 1, 3]);
    const labels = tf.tensor3d([0, 1, 255], [1, 1, 3], "int32");
    const want = (Math.log(2) + 3 * Math.log(4)) / 4;
    expect(crossEntropy(logits, labels, tf.tensor1d([1, 3])).dataSync()[0]).toBeCloseTo(want, 6);
  });

  it.each([0.2, 0.5, 0.8])("takes cross entropy over pixels below %d alone, as float64 does", async (threshold) => {
    const [classes, pixels] = [3, 40];
    const { logits } = normals({ logits: [1, classes, 5, 8] }, 11);
    const labels = Int32Array.from({ length: pixels }, (_, i) => (i % 9 === 0 ? 255 : i % classes));
    const weights = [1, 0.5, 3];
    // In float64: p_c = exp(x_c) / sum; a pixel of label y counts if p_y < threshold; d/dx_c = w_y (p_c - [c = y]) / sum of w.
    let [sum, total, kept] = [0, 0, 0];
    const gradient = new Float64Array(classes * pixels);
    for (let pixel = 0; pixel < pixels; pixel++) {
      const label = labels[pixel]!;
      if (label === 255) continue;
      const exps = weights.map((_, c) => Math.exp(logits![c * pixels + pixel]!));
      const all = exps.reduce((a, b) => a + b, 0);
      if (exps[label]! / all >= threshold) continue;
      kept++;
      total += weights[label]!;
      sum -= weights[label]! * Math.log(exps[label]! / all);
      exps.forEach((e, c) => (gradient[c * pixels + pixel] = weights[label]! * (e / all - (c === label ? 1 : 0))));
    }
    expect(kept).toBeGreaterThan(0);
    expect(kept).toBeLessThan(35);
    const step: Step = ({ logits: x, labels: y }) => {
      const { value, grad } = tf.valueAndGrad((each: tf.Tensor) =>
        crossEntropy(each, y as tf.Tensor, tf.tensor1d(weights), threshold),
      )(x as tf.Tensor);
      return { value, grad };
    };
    const signature: Signature = {
      logits: { shape: [1, classes, 5, 8], dtype: "float32" },
      labels: { shape: [1, 5, 8], dtype: "int32" },
    };
    for (const engine of [onnx, eager]) {
      const compiled = await engine.compile(step, signature);
      const { value, grad } = await compiled.run({ logits: logits!, labels });
      expect(value?.[0]).toBeCloseTo(sum / total, 5);
      [...gradient].forEach((want, i) => expect(grad?.[i]).toBeCloseTo(want / total, 6));
      await compiled.release();
    }
  });

  it("gives 0 and a zero derivative if no pixel is hard", async () => {
    const step: Step = ({ logits, labels }) => {
      const { value, grad } = tf.valueAndGrad((x: tf.Tensor) =>
        crossEntropy(x, labels as tf.Tensor, tf.ones([2]), 0.4),
      )(logits as tf.Tensor);
      return { value, grad };
    };
    const signature: Signature = {
      logits: { shape: [1, 2, 2, 2], dtype: "float32" },
      labels: { shape: [1, 2, 2], dtype: "int32" },
    };
    const compiled = await onnx.compile(step, signature);
    const { value, grad } = await compiled.run({ logits: new Float32Array(8), labels: Int32Array.of(0, 1, 1, 0) });
    expect(Math.abs(value?.[0] as number) + Math.max(...[...(grad ?? [])].map(Math.abs))).toBe(0);
    await compiled.release();
  });

  it("gives 0 and a zero derivative if every pixel is ignored", async () => {
    const step: Step = ({ logits, labels }) => {
      const { value, grad } = tf.valueAndGrad((x: tf.Tensor) => crossEntropy(x, labels as tf.Tensor, tf.ones([2])))(
        logits as tf.Tensor,
      );
      return { value, grad };
    };
    const signature: Signature = {
      logits: { shape: [1, 2, 2, 2], dtype: "float32" },
      labels: { shape: [1, 2, 2], dtype: "int32" },
    };
    for (const engine of [onnx, eager]) {
      const compiled = await engine.compile(step, signature);
      const { value, grad } = await compiled.run({
        logits: new Float32Array(8).fill(2),
        labels: Int32Array.of(255, -1, 2, 255),
      });
      expect(Math.abs(value?.[0] as number) + Math.max(...[...(grad ?? [])].map(Math.abs))).toBe(0);
      await compiled.release();
    }
  });

  it("finds the largest channel", async () => {
    const inputs = normals({ x: [2, 5, 3, 4] }, 4);
    const step: Step = ({ x }) => ({ y: argmaxChannels(x as tf.Tensor) });
    expect(await compareEngines(step, signatureOf({ x: [2, 5, 3, 4] }), inputs, onnx, eager)).toEqual({ y: 0 });
  });

  it("rejects wrong shapes, naming them", () => {
    expect(() => conv2d(tf.zeros([1, 3, 4, 4]), tf.zeros([2, 4, 3, 3]))).toThrow(/3 channels, the filter has 4/);
    expect(() => maxPool2x2(tf.zeros([1, 3, 5, 4]))).toThrow(/\[1,3,5,4\].*even/);
    expect(() => crossEntropy(tf.zeros([1, 2, 4, 4]), tf.zeros([1, 4, 3], "int32"), tf.ones([2]))).toThrow(
      /\[1,4,3\].*\[1,4,4\]/,
    );
  });
});

describe("maxPool2x2 at ties", () => {
  it.each(["traced", "eager"] as const)("shares the derivative among the largest, %s", async (mode) => {
    const engine =
      mode === "eager"
        ? eagerEngine("cpu")
        : await createEngine({ engine: "onnxruntime", provider: "cpu", threads: 1 });
    const step: Step = ({ x }) => ({
      dx: tf.grad((values) => tf.sum(tf.mul(maxPool2x2(values), tf.tensor4d([6, 8], [1, 1, 1, 2]))))(x as tf.Tensor),
    });
    const compiled = await engine.compile(step, { x: { shape: [1, 1, 2, 4], dtype: "float32" } });
    // A window of one constant, and one whose two largest share.
    const { dx } = await compiled.run({ x: Float32Array.of(2, 2, 5, 1, 2, 2, 0, 5) });
    expect([...(dx ?? [])]).toEqual([1.5, 1.5, 4, 0, 1.5, 1.5, 0, 4]);
    await compiled.release();
  });
});

it("take rejects an element that is taken twice", () => {
  expect(() => take(tf.tensor1d([1, 2, 3]), [0, -1, 2, -1, 0])).toThrow("an element is taken twice");
});

describe("sums over many positions", () => {
  it("give the moments of a norm whose mean is ten times its deviation to 1e-6 of float64", async () => {
    const [n, c, h, w] = [4, 4, 64, 64];
    const random = createRandom(1, "moments");
    const x = Float32Array.from({ length: n * c * h * w }, () => 3 + random.next());
    const engine = await createEngine({ engine: "onnxruntime", provider: "cpu", threads: 1 });
    const step: Step = ({ x, g }) => ({ ...batchNorm(x as tf.Tensor, g as tf.Tensor, g as tf.Tensor, 1e-3) });
    const compiled = await engine.compile(step, {
      x: { shape: [n, c, h, w], dtype: "float32" },
      g: { shape: [c], dtype: "float32" },
    });
    const { mean, variance } = await compiled.run({ x, g: new Float32Array(c).fill(1) });
    await compiled.release();
    for (let channel = 0; channel < c; channel++) {
      const values = [...x].filter((_, at) => Math.floor(at / (h * w)) % c === channel);
      const exact = values.reduce((sum, value) => sum + value, 0) / values.length;
      const spread = values.reduce((sum, value) => sum + (value - exact) ** 2, 0) / values.length;
      expect(Math.abs((mean![channel] as number) / exact - 1)).toBeLessThan(2e-7);
      expect(Math.abs((variance![channel] as number) / spread - 1)).toBeLessThan(1e-6);
    }
  });
});
