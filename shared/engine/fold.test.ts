import { compileOnnx } from "./session";
import { exportOnnx, openOnnx } from "./onnx";
import { ModelProto } from "../proto/onnx/onnx";
import { batchNormInference } from "./ops/batchNorm";
import { conv2d } from "./ops/conv2d";
import { maxPool2x2 } from "./ops/maxPool";
import { relativeDifference } from "../testing/parity";
import { createRandom } from "./random";
import { tf } from "./tf";

const random = createRandom(5);
const normals = (length: number) => Float32Array.from({ length }, () => random.normal());
const constants = {
  w: { data: normals(36), shape: [4, 1, 3, 3] },
  u: { data: normals(27), shape: [3, 1, 3, 3] },
  k: { data: normals(72), shape: [8, 1, 3, 3] },
  gamma: { data: normals(8), shape: [8] },
  beta: { data: normals(8), shape: [8] },
  mean: { data: normals(8), shape: [8] },
  variance: { data: normals(8).map((value) => 0.5 + value * value), shape: [8] },
};
type Tensors = Record<string, tf.Tensor>;
const whole = (x: tf.Tensor, t: Tensors) => batchNormInference(x, t.gamma!, t.beta!, t.mean!, t.variance!, 1e-3);

const cases: [string, (t: Tensors) => tf.Tensor, string[]][] = [
  [
    "a norm behind a concatenation of two convolutions and a pool",
    (t) => {
      const parts = [
        conv2d(t.image!, t.w!, { stride: 2 }),
        conv2d(t.image!, t.u!, { stride: 2 }),
        maxPool2x2(t.image!),
      ];
      return whole(tf.concat(parts, 1), t);
    },
    ["MaxPool", "Conv", "Conv", "BatchNormalization", "Concat"],
  ],
  ["a norm behind a norm: the second finds a bias", (t) => whole(whole(conv2d(t.image!, t.k!), t), t), ["Conv"]],
  [
    "a convolution that something else reads as well, which keeps what it computes",
    (t) => {
      const y = conv2d(t.image!, t.k!);
      return tf.add(whole(y, t), y);
    },
    ["Conv", "BatchNormalization", "Add"],
  ],
  [
    "a convolution that stands twice in a concatenation",
    (t) => {
      const y = conv2d(t.image!, t.w!);
      return whole(tf.concat([y, y], 1), t);
    },
    [],
  ],
];

it.each(cases)("folding does not change the function: %s", async (_, network, ops) => {
  const step = (t: Tensors) => ({ y: network(t) });
  const signature = { image: { shape: [1, 1, 8, 6], dtype: "float32" as const } };
  const inputs = { image: normals(48) };
  const bytes = exportOnnx({ step, signature, constants });
  const model = await openOnnx(bytes);
  const asInputs = Object.fromEntries(
    Object.entries(constants).map(([name, { shape }]) => [name, { shape, dtype: "float32" as const }]),
  );
  const plain = await compileOnnx(step, { ...signature, ...asInputs }, "plain", { provider: "cpu", threads: 1 });
  const data = Object.fromEntries(Object.entries(constants).map(([name, entry]) => [name, entry.data]));
  const [got, want] = [await model.run(inputs), await plain.run({ ...inputs, ...data })];
  expect(relativeDifference(got.y!, want.y!)).toBeLessThan(1e-5);
  if (ops.length > 0) expect(ModelProto.decode(bytes).graph!.node.map(({ opType }) => opType)).toEqual(ops);
  await Promise.all([model.release(), plain.release()]);
});
