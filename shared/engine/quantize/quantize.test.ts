import * as ort from "onnxruntime-node";
import { uniform } from "../../testing/spaces";
import { encodeModel } from "../encode";
import { checkGraph, type Graph, type GraphNode, type Value } from "../graph";
import { calibrate } from "./calibrate";
import { planQuantization } from "./plan";
import { quantize } from "./quantize";
import { activationSteps, quantizeFilter } from "./steps";

const random = uniform(23);
const signed = (length: number, scale = 1) => Float32Array.from({ length }, () => scale * (2 * random() - 1));

describe("the steps of an activation", () => {
  it.each([
    [0, 6],
    [-1.5, 2.5],
    [0.5, 2],
    [-3, -1],
    [0, 0],
  ])("from %d to %d hold 0 exactly and every value within half a step", (low, high) => {
    const { scale, zeroPoint } = activationSteps({ low, high });
    expect([Number.isInteger(zeroPoint), zeroPoint >= 0, zeroPoint <= 255]).toEqual([true, true, true]);
    for (const value of [low, high, (low + high) / 2, 0]) {
      const q = Math.min(255, Math.max(0, Math.round(value / scale) + zeroPoint));
      // The ends may be off by the rounding of the zero point.
      expect(Math.abs(scale * (q - zeroPoint) - value)).toBeLessThanOrEqual(scale * 0.5000001);
    }
  });
});

describe("the steps of a filter", () => {
  const [outputs, taps] = [4, 18];
  const filter = signed(outputs * taps);
  filter.fill(0, taps, 2 * taps); // a channel that is all bias
  filter.fill(1e-9, 2 * taps, 3 * taps); // one whose bias would not fit beside its weights
  const bias = Float32Array.of(0.3, -2.5, 7, 0);
  const { filter: whole, bias: wholeBias, scales, biasScales } = quantizeFilter(filter, bias, 0.02);

  it("give back each weight and each bias within half a step", () => {
    filter.forEach((weight, at) => {
      const scale = scales[Math.floor(at / taps)]!;
      expect(Math.abs(whole[at]! * scale - weight)).toBeLessThanOrEqual(scale * 0.5000001);
      expect(Math.abs(whole[at]!)).toBeLessThanOrEqual(127);
    });
    bias.forEach((value, c) => {
      expect(biasScales[c]).toBe(Math.fround(scales[c]! * 0.02));
      const error = Math.abs(wholeBias[c]! * biasScales[c]! - value);
      expect(error).toBeLessThanOrEqual(Math.max(biasScales[c]! * 0.5000001, 1e-6 * Math.abs(value)));
    });
  });

  it("use all of int8 where there are weights", () => {
    for (const c of [0, 3])
      expect(Math.max(...whole.subarray(c * taps, (c + 1) * taps).map((q) => Math.abs(q)))).toBe(127);
  });
});

/** image [1,8,6,6] -> relu(conv 3x3) -> conv 1x1 + itself, relu -> max pool -> concat with conv 3x3 stride 2 -> conv 1x1 = logits. */
const [C, K, S] = [8, 5, 6];
const float = (name: string, shape: number[]): Value => ({ name, shape, dtype: "float32" });
const weights = {
  first: [signed(C * C * 9, 0.3), signed(C)],
  second: [signed(C * C, 0.4), signed(C)],
  down: [signed(C * C * 9, 0.3), signed(C)],
  last: [signed(K * 2 * C, 0.5), signed(K)],
} as const;
type Layer = keyof typeof weights;
const shapes = { first: [C, C, 3, 3], second: [C, C, 1, 1], down: [C, C, 3, 3], last: [K, 2 * C, 1, 1] };
const values = {
  image: float("image", [1, C, S, S]),
  a: float("a", [1, C, S, S]),
  ar: float("ar", [1, C, S, S]),
  b: float("b", [1, C, S, S]),
  sum: float("sum", [1, C, S, S]),
  r: float("r", [1, C, S, S]),
  p: float("p", [1, C, 3, 3]),
  d: float("d", [1, C, 3, 3]),
  joined: float("joined", [1, 2 * C, 3, 3]),
  logits: float("logits", [1, K, 3, 3]),
};
const node = (op: string, inputs: Value[], output: Value, attributes: GraphNode["attributes"] = {}): GraphNode => ({
  ...{ op, name: `${op}_${output.name}`, domain: "", inputs, outputs: [output], attributes },
});
const conv = (layer: Layer, x: Value, output: Value, pad: number, stride = 1) =>
  node("Conv", [x, float(`${layer}/w`, shapes[layer]), float(`${layer}/b`, [shapes[layer][0]!])], output, {
    ...{ kernel_shape: shapes[layer].slice(2), pads: [pad, pad, pad, pad], strides: [stride, stride] },
  });
const v = values;
const graph: Graph = {
  inputs: [v.image],
  outputs: [v.logits],
  initializers: Object.entries(weights).flatMap(([layer, [w, b]]) => [
    { value: float(`${layer}/w`, shapes[layer as Layer]), data: new Uint8Array(w.buffer) },
    { value: float(`${layer}/b`, [b.length]), data: new Uint8Array(b.buffer) },
  ]),
  nodes: [
    conv("first", v.image, v.a, 1),
    node("Relu", [v.a], v.ar),
    conv("second", v.ar, v.b, 0),
    node("Add", [v.b, v.ar], v.sum),
    node("Relu", [v.sum], v.r),
    node("MaxPool", [v.r], v.p, { kernel_shape: [2, 2], strides: [2, 2] }),
    conv("down", v.r, v.d, 1, 2),
    node("Concat", [v.p, v.d], v.joined, { axis: 1 }),
    conv("last", v.joined, v.logits, 0),
  ],
};

/** Convolution of x [inputs,n,n] in float64, with the filter and the bias rounded as a plan of int8 says it. */
function convolved(x: Float64Array, n: number, layer: Layer, pad: number, stride: number, inputScale: number) {
  const [outputs = 0, inputs = 0, side = 0] = shapes[layer];
  const [w, b] = weights[layer];
  const m = Math.floor((n + 2 * pad - side) / stride) + 1;
  return Float64Array.from({ length: outputs * m * m }, (_, at) => {
    const [o, y, z] = [Math.floor(at / (m * m)), Math.floor(at / m) % m, at % m];
    const own = w.subarray(o * inputs * side * side, (o + 1) * inputs * side * side);
    const scale = Math.max(...own.map(Math.abs)) / 127;
    let sum = Math.round(b[o]! / (scale * inputScale)) * scale * inputScale;
    for (let i = 0; i < inputs; i++)
      for (let ky = 0; ky < side; ky++)
        for (let kx = 0; kx < side; kx++) {
          const [yy, xx] = [y * stride + ky - pad, z * stride + kx - pad];
          if (yy < 0 || xx < 0 || yy >= n || xx >= n) continue;
          sum += x[(i * n + yy) * n + xx]! * scale * Math.round(own[(i * side + ky) * side + kx]! / scale);
        }
    return sum;
  });
}

describe("a quantised graph", () => {
  const images = Array.from({ length: 4 }, () => Float32Array.from({ length: C * S * S }, random));
  const plan = planQuantization(graph);
  async function* given() {
    for (const image of images) yield await Promise.resolve(image);
  }
  const cpu = { provider: "cpu", threads: 1 } as const;

  it("rounds what convolutions and sums read and make, but nothing before a ReLU and no output", () => {
    expect([...plan.values.keys()]).toEqual(["image", "ar", "b", "r", "p", "d", "joined"]);
    expect([...plan.same]).toEqual([["p", "r"]]);
    const kept = planQuantization(graph, new Set(["Conv_b", "Add_sum"]));
    expect([...kept.values.keys()]).toEqual(["image", "ar", "r", "p", "d", "joined"]);
    expect(kept.made.has("r")).toBe(false);
  });

  it("computes in ONNX Runtime what float64 computes with rounded values, fused and as it is written", async () => {
    const ranges = await calibrate(graph, plan, given(), cpu);
    const whole = quantize(graph, plan, ranges);
    checkGraph(whole);
    const scale = (name: string) => {
      const { low, high } = ranges.get(name)!;
      return Math.fround((Math.max(0, high) - Math.min(0, low)) / 255);
    };
    const rounded = (x: Float64Array, name: string) => {
      const [step, low] = [scale(name), Math.min(0, ranges.get(name)!.low)];
      const zero = Math.round(-low / step);
      return x.map((each) => step * (Math.min(255, Math.max(0, Math.round(each / step) + zero)) - zero));
    };
    const relu = (x: Float64Array) => x.map((each) => Math.max(0, each));
    for (const image of images) {
      const x = rounded(Float64Array.from(image), "image");
      const ar = rounded(relu(convolved(x, S, "first", 1, 1, scale("image"))), "ar");
      const b = rounded(convolved(ar, S, "second", 0, 1, scale("ar")), "b");
      const r = rounded(relu(b.map((each, at) => each + ar[at]!)), "r");
      const p = Float64Array.from({ length: C * 9 }, (_, at) => {
        const corner = Math.floor(at / 9) * S * S + 2 * (Math.floor(at / 3) % 3) * S + 2 * (at % 3);
        return Math.max(...[0, 1, S, S + 1].map((each) => r[corner + each]!));
      });
      const d = rounded(convolved(r, S, "down", 1, 2, scale("r")), "d");
      const joined = rounded(Float64Array.from([...p, ...d]), "joined");
      const want = convolved(joined, 3, "last", 0, 1, scale("joined"));
      const largest = Math.max(...want.map(Math.abs));
      for (const level of ["all", "disabled"] as const) {
        const options = { graphOptimizationLevel: level };
        const session = await ort.InferenceSession.create(encodeModel(whole, "int8"), options);
        const { logits } = await session.run({ image: new ort.Tensor("float32", image, v.image.shape) });
        await session.release();
        const errors = (logits!.data as Float32Array).map((each, at) => Math.abs(each - want[at]!) / largest);
        // A sum that lies between two steps may be rounded to either, and moves what reads it by less than a step.
        expect(errors.reduce((sum, each) => sum + each, 0) / errors.length).toBeLessThan(1e-3);
        expect(Math.max(...errors)).toBeLessThan(2e-2);
      }
    }
  });

  it("is near the float graph, and its extremes are those of the images", async () => {
    const ranges = await calibrate(graph, plan, given(), cpu);
    expect(ranges.get("image")!.high).toBe(Math.max(...images.flatMap((image) => [...image])));
    expect(ranges.get("ar")!.low).toBe(0);
    const [one, other] = await Promise.all(
      [graph, quantize(graph, plan, ranges)].map((each) => ort.InferenceSession.create(encodeModel(each, "n"))),
    );
    const feeds = { image: new ort.Tensor("float32", images[0]!, v.image.shape) };
    const [want, got] = [
      (await one!.run(feeds)).logits!.data,
      (await other!.run(feeds)).logits!.data,
    ] as Float32Array[];
    const largest = Math.max(...want!.map(Math.abs));
    expect(Math.max(...got!.map((each, at) => Math.abs(each - want![at]!) / largest))).toBeLessThan(0.05);
  });
});
