import type * as ort from "onnxruntime-node";
import { Tensor } from "onnxruntime-node";
import { LatheError } from "../process/errors";
import { gate } from "../process/gate";
import { requireSelfContained } from "./external";
import { onnxMetadata } from "./onnx";
import { createSession, type SessionOptions } from "./session";

/** An input or output of any ONNX model, not only of ours. */
export interface ModelValue {
  readonly name: string;
  /** ONNX Runtime's name of the element type, such as "float32"; "none" for what is no tensor. */
  readonly type: string;
  /** Extents; a free one is its name, or "?". */
  readonly dims: readonly (number | string)[];
}

/** A tensor that goes into a model or comes out of it. */
export interface ModelTensor {
  readonly type: string;
  readonly dims: readonly number[];
  readonly data: ArrayLike<number | bigint>;
}

/** The image or images that a model runs on. */
export interface ModelInput {
  readonly dims: readonly number[];
  readonly data: Uint8Array | Float32Array;
}

export interface Model {
  readonly inputs: readonly ModelValue[];
  readonly outputs: readonly ModelValue[];
  readonly metadata: Readonly<Record<string, string>>;
  run(input: string, tensor: ModelInput): Promise<Record<string, ModelTensor>>;
  /** Runs the model once, and gives a run on the same input that can be repeated. It computes into the same outputs, but the binding copies them. */
  prepare(input: string, tensor: ModelInput): Promise<() => Promise<unknown>>;
  release(): Promise<void>;
}

/** Opens an ONNX model of any origin; INVALID_ARGUMENT (MODEL_UNSUPPORTED) where ONNX Runtime refuses it. */
export async function openModel(bytes: Uint8Array, options: SessionOptions): Promise<Model> {
  const metadata = onnxMetadata(bytes);
  requireSelfContained(bytes);
  const session = await createSession(bytes, options).catch((error: unknown) => {
    const { code, message } = LatheError.from(error);
    if (code !== "INTERNAL") throw error;
    throw new LatheError("INVALID_ARGUMENT", message, { reason: "MODEL_UNSUPPORTED", cause: error });
  });
  const first = async (feeds: Record<string, Tensor>) =>
    session.run(feeds).catch((error: unknown) => {
      const fed = Object.values(feeds).map(({ type, dims }) => `${type} [${dims.join(",")}]`);
      const message = `ONNX Runtime cannot run the model on ${fed.join(", ")}: ${LatheError.from(error).message}`;
      throw new LatheError("INVALID_ARGUMENT", message, { reason: "MODEL_UNSUPPORTED", cause: error });
    });
  return {
    inputs: session.inputMetadata.map(valueOf),
    outputs: session.outputMetadata.map(valueOf),
    metadata,
    prepare: async (input, tensor) => {
      const feeds = { [input]: tensorOf(tensor) };
      const fetches = await first(feeds);
      return () => session.run(feeds, fetches);
    },
    run: async (input, tensor) => {
      await gate.pass();
      const fetched = await first({ [input]: tensorOf(tensor) });
      return Object.fromEntries(
        Object.entries(fetched).map(([name, { type, dims, data }]) => [
          name,
          { type, dims, data: data as ArrayLike<number> },
        ]),
      );
    },
    release: () => session.release(),
  };
}

const tensorOf = ({ data, dims }: ModelInput): Tensor =>
  data instanceof Uint8Array ? new Tensor("uint8", data, dims) : new Tensor("float32", data, dims);

function valueOf(value: ort.InferenceSession.ValueMetadata): ModelValue {
  if (!value.isTensor) return { name: value.name, type: "none", dims: [] };
  // ONNX Runtime gives a free extent as its name, or as "" or a negative number.
  const dims = value.shape.map((extent) => (typeof extent === "number" && extent >= 0 ? extent : `${extent || "?"}`));
  return { name: value.name, type: value.type, dims };
}
