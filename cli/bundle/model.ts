import { LatheError } from "../../shared/process/errors";
import { ModelProto, TensorProto_DataType as DataType, type ValueInfoProto } from "../../shared/proto/onnx/onnx";

/** An input or output of an ONNX file. A size that the file leaves open is -1. */
export interface ModelTensor {
  name: string;
  type: "float32" | "uint8" | "int32" | "int64";
  shape: number[];
}

/** What an ONNX file takes and gives. */
export interface ModelForm {
  /** Name of the file. */
  file: string;
  inputs: ModelTensor[];
  outputs: ModelTensor[];
  metadata: Readonly<Record<string, string>>;
}

const UINT8 = 2;
const types = new Map<number, ModelTensor["type"]>([
  [DataType.FLOAT, "float32"],
  [UINT8, "uint8"],
  [DataType.INT32, "int32"],
  [DataType.INT64, "int64"],
]);

/** Reads the inputs, outputs and metadata of an ONNX file; INVALID_ARGUMENT for a type that no network of ours has. */
export function modelForm(file: string, bytes: Uint8Array): ModelForm {
  const { graph, metadataProps } = ModelProto.decode(bytes);
  const tensors = (infos: readonly ValueInfoProto[] = []) => infos.map((info) => tensor(file, info));
  return {
    file,
    inputs: tensors(graph?.input),
    outputs: tensors(graph?.output),
    metadata: Object.fromEntries(metadataProps.map(({ key, value }) => [key, value])),
  };
}

function tensor(file: string, { name, type }: ValueInfoProto): ModelTensor {
  const { elemType = 0, shape } = type?.tensorType ?? {};
  const known = types.get(elemType);
  if (known === undefined)
    throw new LatheError(
      "INVALID_ARGUMENT",
      `"${name}" of ${file} has element type ${elemType}, must be one of ${[...types.values()].join(", ")}`,
    );
  return {
    name,
    type: known,
    shape: (shape?.dim ?? []).map(({ dimValue, dimParam }) => (dimParam || dimValue < 1 ? -1 : dimValue)),
  };
}

/** Whether a network takes camera images and returns class indices; otherwise it takes scaled planes and returns logits. */
export const takesImages = ({ inputs }: ModelForm): boolean => inputs[0]?.type === "uint8";
