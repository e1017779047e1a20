import { adam, clipByGlobalNorm, rates } from "./adam";
import { createEngine, eagerEngine, type Arrays, type Signature, type Step } from "./engine";
import { relativeDifference } from "../testing/parity";
import { createRandom } from "./random";
import { tf } from "./tf";

const n = 7;
const f = (...shape: number[]): { shape: number[]; dtype: "float32" } => ({ shape, dtype: "float32" });
const signature: Signature = { parameters: f(n), gradient: f(n), m: f(n), v: f(n), rates: f(2) };
const options = { weightDecay: 0.01, beta1: 0.8, beta2: 0.95, epsilon: 1e-3 };
const step: Step = (inputs) => ({ ...adam({ ...(inputs as unknown as Parameters<typeof adam>[0]), ...options }) });

describe("adam", () => {
  it("takes the steps of the paper's loop with an L2 penalty, on both engines", async () => {
    const onnx = await createEngine({ engine: "onnxruntime", provider: "cpu", threads: 1 });
    for (const engine of [onnx, eagerEngine("cpu")]) {
      const compiled = await engine.compile(step, signature);
      const random = createRandom(1);
      const start = Array.from({ length: n }, () => random.normal());
      let state: Arrays = { parameters: Float32Array.from(start), m: new Float32Array(n), v: new Float32Array(n) };
      const [p, m, v] = [[...start], Array<number>(n).fill(0), Array<number>(n).fill(0)] as [
        number[],
        number[],
        number[],
      ];
      for (let t = 1; t <= 5; t++) {
        const gradient = Float32Array.from({ length: n }, () => random.normal());
        state = await compiled.run({ ...state, gradient, rates: rates(0.1, t, options.beta1, options.beta2) });
        for (let i = 0; i < n; i++) {
          const g = (gradient[i] as number) + options.weightDecay * (p[i] as number);
          m[i] = options.beta1 * (m[i] as number) + (1 - options.beta1) * g;
          v[i] = options.beta2 * (v[i] as number) + (1 - options.beta2) * g * g;
          const [mHat, vHat] = [
            (m[i] as number) / (1 - options.beta1 ** t),
            (v[i] as number) / (1 - options.beta2 ** t),
          ];
          p[i] = (p[i] as number) - (0.1 * mHat) / (Math.sqrt(vHat) + options.epsilon);
        }
      }
      expect(relativeDifference(state.parameters as Float32Array, p)).toBeLessThan(1e-5);
      expect(relativeDifference(state.m as Float32Array, m)).toBeLessThan(1e-5);
      expect(relativeDifference(state.v as Float32Array, v)).toBeLessThan(1e-5);
      await compiled.release();
    }
  });

  it("moves each parameter by the rate on the first step", () => {
    const parameters = tf.tensor1d([1, 1]);
    const zeros = tf.zeros([2]) as unknown as tf.Tensor1D;
    const moved = adam({
      parameters,
      gradient: tf.tensor1d([5, -0.1]),
      m: zeros,
      v: zeros,
      rates: tf.tensor1d(rates(0.01, 1)),
    });
    expect(relativeDifference(moved.parameters.dataSync(), [0.99, 1.01])).toBeLessThan(1e-6);
  });
});

describe("clipByGlobalNorm", () => {
  it.each([
    [[3, 4], 10, [3, 4], 5],
    [[3, 4], 1, [0.6, 0.8], 5],
    [[0, 0], 1, [0, 0], 0],
  ])("takes %p with the bound %p to %p", (gradient, bound, want, length) => {
    const clipped = clipByGlobalNorm(tf.tensor1d(gradient), bound);
    expect(relativeDifference(clipped.gradient.dataSync(), want)).toBeLessThan(1e-6);
    expect(clipped.norm.dataSync()[0]).toBeCloseTo(length, 5);
  });
});
