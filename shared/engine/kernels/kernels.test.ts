import { createEngine, eagerEngine, type Arrays, type Engine, type Signature, type Step } from "../engine";
import { compareEngines } from "../../testing/parity";
import { createRandom } from "../random";
import { tf } from "../tf";
import { trace } from "../tracer";
import { comparisonRules, elementwiseRules } from "./elementwise";
import { matrixRules } from "./matrix";
import { reductionRules } from "./reduction";
import { shapeRules } from "./shape";

type Operation = (a: tf.Tensor, b: tf.Tensor) => tf.Tensor | tf.Tensor[];

const rank = (x: tf.Tensor): number => x.shape.length;
const positive = (x: tf.Tensor): tf.Tensor => tf.add(tf.abs(x), 0.5);
const float = (x: tf.Tensor): tf.Tensor => tf.cast(x, "float32");
const indices = (): tf.Tensor1D => tf.tensor1d([2, 0, 2, 1], "int32");

/** Per kernel: a function of a [2,3,4] and b [3,1] that uses it. */
const uses: Record<string, Operation> = {
  Add: (a, b) => tf.add(a, b),
  Sub: (a, b) => tf.sub(a, b),
  Multiply: (a, b) => tf.mul(a, b),
  RealDiv: (a, b) => tf.div(a, positive(b)),
  // TF.js's own derivative of these and of SquaredDifference does not sum over a broadcast operand: equal shapes.
  Maximum: (a) => tf.maximum(a, tf.mul(a, -1)),
  Minimum: (a) => tf.minimum(a, tf.mul(a, -1)),
  Pow: (a) => tf.pow(positive(a), tf.scalar(1.5)),
  SquaredDifference: (a) => tf.squaredDifference(a, tf.neg(a)),
  Neg: (a) => tf.neg(a),
  Abs: (a) => tf.abs(a),
  Exp: (a) => tf.exp(a),
  Log: (a) => tf.log(positive(a)),
  Log1p: (a) => tf.log1p(positive(a)),
  Sqrt: (a) => tf.sqrt(positive(a)),
  Rsqrt: (a) => tf.rsqrt(positive(a)),
  Reciprocal: (a) => tf.reciprocal(positive(a)),
  Square: (a) => tf.square(a),
  Sigmoid: (a) => tf.sigmoid(a),
  Tanh: (a) => tf.tanh(a),
  Softplus: (a) => tf.softplus(a),
  Floor: (a) => tf.floor(tf.mul(a, 3)),
  Relu: (a) => tf.relu(a),
  Step: (a) => tf.step(a),
  ClipByValue: (a) => tf.clipByValue(a, -0.5, 0.7),
  Identity: (a) => tf.clone(a),
  Cast: (a) => float(tf.cast(tf.mul(a, 10), "int32")),
  AddN: (a) => tf.addN([a, tf.square(a), a]),
  Equal: (a) => float(tf.equal(a, tf.maximum(a, 0))),
  NotEqual: (a) => float(tf.notEqual(a, tf.maximum(a, 0))),
  Greater: (a, b) => float(tf.greater(a, b)),
  GreaterEqual: (a, b) => float(tf.greaterEqual(a, b)),
  Less: (a, b) => float(tf.less(a, b)),
  LessEqual: (a, b) => float(tf.lessEqual(a, b)),
  LogicalAnd: (a, b) => float(tf.logicalAnd(tf.greater(a, 0), tf.greater(b, 0))),
  LogicalOr: (a, b) => float(tf.logicalOr(tf.greater(a, 0), tf.greater(b, 0))),
  LogicalNot: (a) => float(tf.logicalNot(tf.greater(a, 0))),
  Select: (a) => tf.where(tf.tensor1d([true, false, false, true], "bool"), a, tf.square(a)),
  ZerosLike: (a) => tf.add(tf.zerosLike(a), 1),
  OnesLike: (a) => tf.onesLike(a),
  Reshape: (a) => tf.reshape(a, [4, -1]),
  ExpandDims: (a) => tf.expandDims(a, -2),
  Transpose: (a) => tf.transpose(a, [2, 0, 1]),
  Tile: (a) => tf.tile(a, [2, 1, 3]),
  BroadcastTo: (_a, b) => tf.broadcastTo(tf.reshape(b, [3, 1]), [3, 5]),
  Concat: (a) => tf.concat([a, tf.square(a)], -2),
  Pack: (a) => tf.stack([a, tf.square(a)], 1),
  Unpack: (a) => tf.unstack(a, 1),
  SplitV: (a) => tf.split(a, [1, 2, 1], 2),
  Slice: (a) => tf.slice(a, [0, 1, 1], [2, 2, -1]),
  PadV2: (a) => tf.pad(a, [[0, 1], [2, 0], [0, 0]], 0.5), // prettier-ignore
  GatherV2: (a) => tf.gather(a, indices(), 1),
  Fill: (a) => tf.add(a, tf.fill([2, 3, 4], 0.25)),
  OneHot: (a) => tf.add(tf.oneHot(indices(), 3, 0.9, 0.1, "float32"), tf.sum(a)),
  Sum: (a) => tf.sum(a, [0, 2]),
  Mean: (a) => tf.mean(a, [1], true),
  Max: (a) => tf.max(a, [2]),
  Min: (a) => tf.min(a, 1, true),
  Prod: (a) => tf.prod(a, 1),
  ArgMax: (a) => float(tf.argMax(a, 1)),
  ArgMin: (a) => float(tf.argMin(a, -1)),
  Softmax: (a) => tf.softmax(a),
  LogSoftmax: (a) => tf.logSoftmax(a),
  BatchMatMul: (a) => {
    const [other, turned] = [tf.square(a), tf.transpose(a, [0, 2, 1])];
    const products = [tf.matMul(a, other, true, false), tf.matMul(a, other, false, true), tf.matMul(a, turned)];
    return [...products, tf.matMul(a, turned, true, true)];
  },
  UnsortedSegmentSum: (a) => tf.unsortedSegmentSum(tf.reshape(a, [4, 6]), indices(), 3),
};

const withoutDerivative = new Set([
  "Floor",
  "Step",
  "Cast",
  "Equal",
  "NotEqual",
  "Greater",
  "GreaterEqual",
  "Less",
  "LessEqual",
]);
for (const name of ["LogicalAnd", "LogicalOr", "LogicalNot", "ZerosLike", "OnesLike", "ArgMax", "ArgMin", "Prod"])
  withoutDerivative.add(name);
// TF.js has no derivative of these, or only one by kernels that Lathe does not use (Prod).
withoutDerivative.add("BroadcastTo");

const signature: Signature = { a: { shape: [2, 3, 4], dtype: "float32" }, b: { shape: [3, 1], dtype: "float32" } };

function step(name: string): Step {
  const use = uses[name] as Operation;
  return ({ a, b }) => {
    const flat = (x: tf.Tensor, y: tf.Tensor): tf.Tensor => {
      const result = use(x, y);
      const list = Array.isArray(result) ? result : [result];
      return tf.concat(list.map((part) => tf.reshape(part, [-1])));
    };
    const loss = (x: tf.Tensor, y: tf.Tensor): tf.Scalar => {
      const values = flat(x, y);
      const coefficients = tf.tensor1d(Float32Array.from({ length: values.size }, (_, i) => Math.cos(i * 2.3) + 0.2));
      // The sum of b makes every use a function of both.
      return tf.add(tf.sum(tf.mul(values, coefficients)), tf.sum(y));
    };
    const [x, y] = [a as tf.Tensor, b as tf.Tensor];
    const result = use(x, y);
    const values = Object.fromEntries(
      (Array.isArray(result) ? result : [result]).map((part, i) => [`y${i}_${rank(part)}`, part]),
    );
    if (withoutDerivative.has(name)) return values;
    const { grads } = tf.valueAndGrads((p: tf.Tensor, q: tf.Tensor) => tf.add(loss(p, q), tf.sum(p)))([x, y]);
    return { ...values, da: grads[0] as tf.Tensor, db: grads[1] as tf.Tensor };
  };
}

describe("rules of the tracer", () => {
  let onnx: Engine;
  const eager = eagerEngine("cpu");
  const random = createRandom(7);
  const normals = (n: number): Float32Array => Float32Array.from({ length: n }, () => random.normal());
  const inputs: Arrays = { a: normals(24), b: normals(3) };
  beforeAll(async () => {
    onnx = await createEngine({ engine: "onnxruntime", provider: "cpu", threads: 1 });
  });

  const kernels = [elementwiseRules, comparisonRules, shapeRules, reductionRules, matrixRules].flatMap((rules) =>
    Object.keys(rules),
  );

  it.each(kernels)("%s: value and derivatives agree with the CPU backend", async (kernel) => {
    const differences = await compareEngines(step(kernel), signature, inputs, onnx, eager);
    for (const [name, difference] of Object.entries(differences))
      expect({ name, close: difference < 1e-5 }).toEqual({ name, close: true });
  });

  it("have exactly one use per rule", () => {
    expect(Object.keys(uses).sort()).toEqual([...kernels].sort());
  });

  it("compute arithmetic, comparisons and reductions in int32", async () => {
    const integers: Step = ({ a, b }) => ({
      sum: tf.sum(tf.mul(tf.add(a as tf.Tensor, 1), b as tf.Tensor), 1),
      top: tf.max(a as tf.Tensor, 0),
    });
    const types: Signature = { a: { shape: [2, 3], dtype: "int32" }, b: { shape: [3], dtype: "int32" } };
    const differences = await compareEngines(
      integers,
      types,
      { a: Int32Array.of(1, -2, 3, 4, 5, -6), b: Int32Array.of(7, 8, -9) },
      onnx,
      eager,
    );
    expect(differences).toEqual({ sum: 0, top: 0 });
  });
});

it("a sum's derivative expands dy and stores no array of ones", () => {
  const step: Step = ({ x }) => {
    const sums = (value: tf.Tensor) => tf.sum(tf.square(tf.sum(value, 1)));
    return { dx: tf.grad(sums)(x as tf.Tensor) };
  };
  const { graph } = trace(step, { x: { shape: [8, 50], dtype: "float32" } });
  expect(graph.initializers.every(({ data }) => data.byteLength < 8 * 50)).toBe(true);
  expect(graph.nodes.map(({ op }) => op)).toContain("Expand");
});
