import { roundingEngine } from "../testing/precision";
import { elementTypes, encodeModel } from "./encode";
import { eagerEngine, type Signature, type Step } from "./engine";
import type { Graph, GraphNode, Value } from "./graph";
import { graphMemory } from "./memory";
import { batchNorm } from "./ops/batchNorm";
import { conv2d } from "./ops/conv2d";
import { crossEntropy } from "./ops/crossEntropy";
import { maxPool2x2 } from "./ops/maxPool";
import { relu } from "./ops/relu";
import { manifest, unpack } from "./parameters";
import { compareEngines } from "../testing/parity";
import { mixedPrecision } from "./precision";
import { createRandom } from "./random";
import { scoped } from "./scope";
import { createSession, stepGraph } from "./session";
import { tf } from "./tf";
import { trace } from "./tracer";

const f = (...shape: number[]): { shape: number[]; dtype: "float32" } => ({ shape, dtype: "float32" });
const value = (name: string, shape: number[], dtype: Value["dtype"] = "float32"): Value => ({ name, shape, dtype });
const LOW = ["float16", "bfloat16"] as const;

const layout = manifest([
  { name: "w1", shape: [8, 3, 3, 3] },
  { name: "g1", shape: [8] },
  { name: "b1", shape: [8] },
  { name: "w2", shape: [8, 8, 3, 1] },
  { name: "w3", shape: [8, 8, 3, 3] },
  { name: "w4", shape: [5, 8, 1, 1] },
]);
const signature: Signature = {
  weights: f(layout.size),
  images: f(2, 3, 32, 64),
  labels: { shape: [2, 8, 16], dtype: "int32" },
};

/** Convolutions of stride 1 and 2, dilated and not, norm, ReLU and pooling; logits, loss and gradient. */
const step: Step = ({ weights, images, labels }) => {
  let kept: tf.Tensor | undefined;
  const { value: loss, grad } = tf.valueAndGrad((flat: tf.Tensor) => {
    const p = unpack(flat as tf.Tensor1D, layout) as Record<"w1" | "g1" | "b1" | "w2" | "w3" | "w4", tf.Tensor>;
    const { y } = batchNorm(conv2d(images as tf.Tensor, p.w1), p.g1, p.b1, 1e-3);
    const hidden = relu(conv2d(maxPool2x2(relu(y)), p.w2, { dilation: [2, 1] }));
    const logits = conv2d(relu(conv2d(hidden, p.w3, { stride: 2 })), p.w4);
    kept = tf.keep(logits);
    return crossEntropy(logits, labels as tf.Tensor, tf.ones([5]));
  })(weights as tf.Tensor);
  return { logits: kept as tf.Tensor, loss, gradient: grad };
};

function inputs() {
  const random = createRandom(1);
  const fans = layout.entries.map(({ shape }) => shape.slice(1).reduce((product, size) => product * size, 1));
  return {
    weights: Float32Array.from(
      layout.entries.flatMap(({ shape, name }, i) =>
        Array.from({ length: shape.reduce((product, size) => product * size, 1) }, () =>
          name === "g1" ? 1 : random.normal() / Math.sqrt(fans[i] as number),
        ),
      ),
    ),
    images: Float32Array.from({ length: 2 * 3 * 32 * 64 }, () => random.next()),
    labels: Int32Array.from({ length: 2 * 8 * 16 }, () => random.integer(5)),
  };
}

const isLow = ({ dtype }: Value) => dtype === "float16" || dtype === "bfloat16";
const opsIn = (graph: Graph, test: (node: GraphNode) => boolean) =>
  new Set(graph.nodes.filter(test).map(({ op }) => op));

describe.each(LOW)("mixed precision in %s", (low) => {
  const { graph } = stepGraph(step, signature, low);

  it("casts each operand once, and casts no value between two products", () => {
    const chain: Step = ({ x, w }) => {
      const kernel = w as tf.Tensor;
      return { y: conv2d(conv2d(x as tf.Tensor, kernel), kernel) };
    };
    const { nodes, inputs, outputs } = stepGraph(chain, { x: f(1, 4, 8, 8), w: f(4, 4, 3, 3) }, low).graph;
    expect(nodes.map(({ op, outputs: made }) => `${op} ${made[0]?.dtype}`)).toEqual([
      ...[`Cast ${low}`, `Cast ${low}`, `Conv ${low}`, `Conv ${low}`, "Cast float32"],
    ]);
    expect([...inputs, ...outputs].map(({ dtype }) => dtype)).toEqual(["float32", "float32", "float32"]);
  });

  it("keeps all operators in float32 except products and moves of their values", () => {
    const moves = ["Reshape", "Transpose", "Slice", "Concat", ...(low === "float16" ? ["Pad"] : [])];
    const products = low === "float16" ? ["Conv", "ConvTranspose", "FusedMatMul"] : ["Conv", "FusedMatMul"];
    const computed = opsIn(graph, ({ op, outputs }) => op !== "Cast" && outputs.some(isLow));
    expect([...computed].sort()).toEqual(expect.arrayContaining(products));
    expect([...computed].filter((op) => ![...moves, ...products].includes(op))).toEqual([]);
    const wide = opsIn(graph, ({ outputs }) => outputs.some(({ dtype }) => dtype === "float32"));
    expect(wide).not.toContain("Conv");
    expect(wide.has("ConvTranspose")).toBe(low === "bfloat16");
    expect(wide).toContain("BatchNormalization");
    expect(graph.initializers.filter(({ value: each }) => isLow(each))).toEqual([]);
  });

  it("moves windows of a weight gradient in half the bytes", () => {
    const concats = graph.nodes.filter(
      ({ op, origin }) => op === "Concat" && /WeightGradient/.test(origin?.kernel ?? ""),
    );
    expect(concats.length).toBeGreaterThan(1);
    expect(new Set(concats.map(({ outputs }) => outputs[0]?.dtype))).toEqual(new Set([low]));
  });

  it("casts a value once in each pass", () => {
    const keys = graph.nodes
      .filter(({ op, inputs, outputs }) => op === "Cast" && [...inputs, ...outputs].some(isLow))
      .map(({ inputs, outputs, origin }) => [inputs[0]?.name, outputs[0]?.dtype, !!origin?.derivativeOf].join());
    expect(new Set(keys).size).toBe(keys.length);
  });

  it("needs less memory than float32", () => {
    const activations = (of: Graph) => graphMemory(of).activations;
    expect(activations(graph)).toBeLessThan(0.8 * activations(trace(step, signature).graph));
  });

  it("computes logits, loss and gradient as in float32, up to rounding", async () => {
    const differences = await compareEngines(step, signature, inputs(), roundingEngine(low, 1), eagerEngine("cpu"));
    const [epsilon, names] = [low === "float16" ? 2 ** -11 : 2 ** -8, ["logits", "loss", "gradient"]];
    expect(Object.keys(differences)).toEqual(names);
    for (const name of names) expect(differences[name]).toBeLessThan(16 * epsilon);
    // The low type does round.
    expect(differences.logits).toBeGreaterThan(epsilon / 16);
  });

  it("leaves nodes of the blocked layout and small products alone", () => {
    const [x, w, y] = [value("x", [1, 8, 4, 4]), value("w", [8, 8, 1, 1]), value("y", [1, 8, 4, 4])];
    const [p, m, z] = [value("p", [10, 9]), value("m", [9, 64]), value("z", [10, 64])];
    const node = (op: string, domain: string, of: Value[], output: Value): GraphNode => ({
      ...{ op, domain, name: `${op}_${output.name}`, inputs: of, outputs: [output], attributes: {} },
    });
    const nodes = [node("Conv", "com.microsoft.nchwc", [x, w], y), node("MatMul", "", [p, m], z)];
    const plain: Graph = { inputs: [x, w, p, m], outputs: [y, z], nodes, initializers: [] };
    expect(mixedPrecision(plain, low).nodes).toEqual(nodes);
  });

  it.each([
    ["leaves a large product of probabilities and its derivative in float32", "choices", 0],
    ["casts the same product where it is none", "elsewhere", 1],
  ])("%s", (_, part, least) => {
    const product: Step = ({ p, masks }) => {
      const loss = (q: tf.Tensor) =>
        tf.sum(tf.square(scoped(part, () => tf.matMul(q as tf.Tensor2D, masks as tf.Tensor2D))));
      return { gradient: tf.grad(loss)(p as tf.Tensor) };
    };
    const { graph } = trace(product, { p: f(286, 10), masks: f(10, 192) });
    expect(graph.nodes.filter(({ op }) => op.endsWith("MatMul"))).toHaveLength(2);
    const casts = mixedPrecision(graph, low).nodes.filter(({ op }) => op === "Cast");
    expect(Math.min(casts.length, 1)).toBe(least);
  });
});

test("float32 does not change a graph", () => {
  const { graph } = trace(step, signature);
  expect(mixedPrecision(graph, "float32")).toBe(graph);
});

test("ONNX Runtime accepts a bfloat16 graph, except that its CPU provider has no kernels", async () => {
  const { graph } = stepGraph(step, signature, "bfloat16");
  const open = (opset?: number) =>
    createSession(encodeModel({ ...graph, ...(opset && { opset }) }, "step"), { provider: "cpu", threads: 1 });
  await expect(open()).rejects.toThrow(/Could not find an implementation for Conv\(22\)/);
  await expect(open(13)).rejects.toThrow(/invalid model.*bfloat16/);
});

test("element types are numbered as in ONNX", () => {
  expect([elementTypes.float16, elementTypes.bfloat16]).toEqual([10, 16]);
});
