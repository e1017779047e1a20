import { LatheError } from "../process/errors";
import { ModelProto, TensorProto_DataType as DataType, type ValueInfoProto } from "../proto/onnx/onnx";
import { encodeModel } from "./encode";
import { foldBatchNorm } from "./fold";
import { checkGraph, eliminateDeadCode, type Graph, type Value } from "./graph";
import { createSession, sessionStep, type CompiledStep, type SessionOptions } from "./session";
import type { DType, Signature, Step } from "./signature";
import { trace, type Constants } from "./tracer";

interface OnnxExport {
  step: Step;
  /** The inputs of the model. */
  signature: Signature;
  /** Named inputs of the step that become initializers of the model: its weights. */
  constants: Constants;
  metadata?: Readonly<Record<string, string>>;
  name?: string;
}

/** A step as the bytes of an ONNX model (opset 13) that contains the weights. Inputs and outputs keep the step's names. */
export function exportOnnx({ metadata = {}, name = "network", ...traced }: OnnxExport): Uint8Array {
  return encodeModel(exportGraph(traced), name, metadata);
}

/** The graph of an exported step, with its weights as initializers and each batch norm folded that follows a convolution. */
export function exportGraph({
  step,
  signature,
  constants,
}: Pick<OnnxExport, "step" | "signature" | "constants">): Graph {
  const { graph, outputs } = trace(step, signature, constants);
  const folded = eliminateDeadCode(foldBatchNorm(graph));
  checkGraph(folded);
  for (const [output, { name: inGraph }] of outputs)
    if (inGraph !== output)
      throw new LatheError("INVALID_ARGUMENT", `"${output}" names both an input and an output of the exported model`);
  return folded;
}

/** An exported model that is ready to run. */
export interface OnnxModel extends CompiledStep {
  readonly inputs: Signature;
  readonly metadata: Readonly<Record<string, string>>;
}

/** Opens the bytes of a model that exportOnnx wrote; throws INVALID_ARGUMENT for other bytes. */
export async function openOnnx(
  bytes: Uint8Array,
  options: SessionOptions = { provider: "cpu", threads: 1 },
): Promise<OnnxModel> {
  const { graph, metadataProps } = decode(bytes);
  const inputs = Object.fromEntries(graph.input.map((info) => [info.name, specOf(info)]));
  const session = await createSession(bytes, options);
  const outputs = graph.output.map((info): [string, Value] => [info.name, { name: info.name, ...specOf(info) }]);
  return {
    ...sessionStep(session, graph.node.length, inputs, outputs, options.provider),
    inputs,
    metadata: keyed(metadataProps),
  };
}

/** Reads the metadata of an exported model without creating a session; throws INVALID_ARGUMENT for other bytes. */
export function onnxMetadata(bytes: Uint8Array): Readonly<Record<string, string>> {
  return keyed(decode(bytes).metadataProps);
}

const keyed = (properties: ModelProto["metadataProps"]) =>
  Object.fromEntries(properties.map(({ key, value }) => [key, value]));

function decode(bytes: Uint8Array): ModelProto & { graph: NonNullable<ModelProto["graph"]> } {
  let cause: unknown;
  try {
    const model = ModelProto.decode(bytes);
    if (model.graph !== undefined) return { ...model, graph: model.graph };
  } catch (error) {
    cause = error;
  }
  throw new LatheError("INVALID_ARGUMENT", `${bytes.byteLength} bytes are no ONNX model`, { cause });
}

const DTYPES = new Map<number | undefined, DType>([
  [DataType.FLOAT, "float32"],
  [DataType.INT32, "int32"],
]);

function specOf({ name, type }: ValueInfoProto): { shape: number[]; dtype: DType } {
  const tensor = type?.tensorType;
  const dtype = DTYPES.get(tensor?.elemType);
  if (dtype === undefined)
    throw new LatheError(
      "INVALID_ARGUMENT",
      `"${name}" of the model has element type ${tensor?.elemType ?? 0}, must be float32 or int32`,
    );
  return { dtype, shape: (tensor?.shape?.dim ?? []).map((dim) => dim.dimValue) };
}
