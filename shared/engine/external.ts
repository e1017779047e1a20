import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { LatheError } from "../process/errors";

/** Messages of ONNX that hold tensors at some depth, with the message of each field on the way, by its number (onnx.proto). */
const WAY = {
  Model: { 7: "Graph", 20: "Training", 25: "Function" },
  Training: { 1: "Graph", 2: "Graph" },
  Function: { 7: "Node", 11: "Attribute" },
  Graph: { 1: "Node", 5: "Tensor", 15: "Sparse" },
  Node: { 5: "Attribute" },
  Attribute: { 5: "Tensor", 6: "Graph", 10: "Tensor", 11: "Graph", 22: "Sparse", 23: "Sparse" },
  Sparse: { 1: "Tensor", 2: "Tensor" },
  Tensor: {},
} as const;
type Part = keyof typeof WAY;

const [TENSOR_NAME, EXTERNAL_DATA, DATA_LOCATION] = [8, 13, 14];
/** Graphs within attributes of graphs; a model of ours has none. */
const MAX_DEPTH = 64;

/**
 * Throws INVALID_ARGUMENT (MODEL_UNSUPPORTED) where a tensor of a model is in another file: ONNX Runtime would open it below the folder of this
 * process. Bytes that are no ONNX model pass.
 */
export function requireSelfContained(model: Uint8Array): void {
  const found = externalTensor(model, "Model", 0);
  if (found === undefined) return;
  throw new LatheError(
    "INVALID_ARGUMENT",
    `the model has tensor "${found.slice(0, 64)}" in another file (external data), must have all of its weights in itself`,
    { reason: "MODEL_UNSUPPORTED" },
  );
}

/** The name of a tensor that is in another file. */
function externalTensor(bytes: Uint8Array, part: Part, depth: number): string | undefined {
  if (depth > MAX_DEPTH)
    throw new LatheError("INVALID_ARGUMENT", `the model has graphs in graphs more than ${MAX_DEPTH} messages deep`, {
      reason: "MODEL_UNSUPPORTED",
    });
  const way: Readonly<Record<number, Part>> = WAY[part];
  const reader = new BinaryReader(bytes);
  let [name, isExternal] = ["", false];
  while (reader.pos < reader.len) {
    const [field, wire] = reader.tag();
    if (part === "Tensor" && field === TENSOR_NAME && wire === WireType.LengthDelimited) name = reader.string();
    else if (part === "Tensor" && field === DATA_LOCATION && wire === WireType.Varint)
      isExternal = reader.int32() !== 0 || isExternal;
    else if (part === "Tensor" && field === EXTERNAL_DATA) {
      isExternal = true;
      reader.skip(wire, field);
    } else if (way[field] !== undefined && wire === WireType.LengthDelimited) {
      const found = externalTensor(reader.bytes(), way[field], depth + 1);
      if (found !== undefined) return found;
    } else reader.skip(wire, field);
  }
  return isExternal ? name : undefined;
}
