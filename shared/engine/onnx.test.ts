import * as ort from "onnxruntime-node";
import { ModelProto } from "../proto/onnx/onnx";
import { exportOnnx, openOnnx } from "./onnx";
import { batchNormInference } from "./ops/batchNorm";
import { conv2d } from "./ops/conv2d";
import { relu } from "./ops/relu";
import { relativeDifference } from "../testing/parity";
import { createRandom } from "./random";
import type { Step } from "./signature";
import { tf } from "./tf";

const random = createRandom(1);
const normals = (length: number): Float32Array => Float32Array.from({ length }, () => random.normal());
const constants = {
  w: { data: normals(54), shape: [2, 3, 3, 3] },
  gamma: { data: normals(2), shape: [2] },
  unused: { data: normals(9), shape: [9] },
};
const step: Step = ({ image, w, gamma }) => {
  const zeros = tf.zeros([2]);
  return {
    logits: relu(
      batchNormInference(
        conv2d(image as tf.Tensor, w as tf.Tensor),
        gamma as tf.Tensor,
        zeros,
        zeros,
        tf.ones([2]),
        1e-3,
      ),
    ),
  };
};
const model = {
  step,
  constants,
  signature: { image: { shape: [1, 3, 4, 5], dtype: "float32" as const } },
  metadata: { classes: "road,sky" },
};

describe("exportOnnx", () => {
  it("writes a model that plain ONNX Runtime runs, with the step's names and values", async () => {
    const image = normals(60);
    const session = await ort.InferenceSession.create(exportOnnx(model));
    expect([session.inputNames, session.outputNames]).toEqual([["image"], ["logits"]]);
    const { logits } = await session.run({ image: new ort.Tensor("float32", image, [1, 3, 4, 5]) });
    const { w, gamma } = constants;
    const tensors = {
      image: tf.tensor(image, [1, 3, 4, 5]),
      w: tf.tensor(w.data, w.shape),
      gamma: tf.tensor(gamma.data, gamma.shape),
    };
    const want = (step(tensors).logits as tf.Tensor).dataSync();
    expect(relativeDifference(logits?.data as Float32Array, want)).toBeLessThan(1e-5);
    await session.release();
  });

  it("keeps metadata and omits unused weights", async () => {
    const bytes = exportOnnx(model);
    const opened = await openOnnx(bytes);
    expect(opened.metadata).toEqual({ classes: "road,sky" });
    expect(opened.inputs).toEqual(model.signature);
    expect(opened.outputs).toEqual({ logits: { shape: [1, 2, 4, 5], dtype: "float32" } });
    expect((await opened.run({ image: normals(60) })).logits).toHaveLength(40);
    expect(Buffer.from(bytes).includes("unused")).toBe(false);
    await opened.release();
  });

  it("folds the norm into the convolution", () => {
    expect(ModelProto.decode(exportOnnx(model)).graph?.node.map(({ opType }) => opType)).toEqual(["Conv", "Relu"]);
  });

  it("is deterministic", () => {
    expect(exportOnnx(model)).toEqual(exportOnnx(model));
  });

  it("rejects an output with the name of an input, and bytes that are no model", async () => {
    expect(() => exportOnnx({ ...model, step: ({ image }) => ({ image: tf.neg(image as tf.Tensor) }) })).toThrow(
      /"image" names both/,
    );
    await expect(openOnnx(new Uint8Array([1, 2, 3]))).rejects.toThrow(/3 bytes are no ONNX model/);
  });
});
