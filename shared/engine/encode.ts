import {
  AttributeProto_AttributeType as AttributeType,
  type AttributeProto,
  ModelProto,
  TensorProto_DataType as DataType,
  type ValueInfoProto,
} from "../proto/onnx/onnx";
import type { Attribute, ElementType, Graph, Value } from "./graph";

/** ONNX's numbers of element types, also used in Cast. */
export const elementTypes: Record<ElementType, DataType> = {
  float32: DataType.FLOAT,
  float64: DataType.DOUBLE,
  float16: DataType.FLOAT16,
  bfloat16: DataType.BFLOAT16,
  uint8: DataType.UINT8,
  int8: DataType.INT8,
  int32: DataType.INT32,
  int64: DataType.INT64,
  bool: DataType.BOOL,
};

// Opset 13: axes of ReduceSum are an input, those of ReduceMean and ReduceMax an attribute.
const opsetVersion = 13;
const irVersion = 8;

/** The graph as an ONNX model file, with the metadata in metadata_props. The opset is graph.opset, by default 13. */
export function encodeModel(graph: Graph, name: string, metadata: Readonly<Record<string, string>> = {}): Uint8Array {
  const domains = new Set(graph.nodes.map((node) => node.domain).filter((domain) => domain !== ""));
  return ModelProto.encode({
    irVersion,
    producerName: "lathe",
    producerVersion: "1",
    opsetImport: [
      { domain: "", version: graph.opset ?? opsetVersion },
      ...[...domains].map((domain) => ({ domain, version: 1 })),
    ],
    metadataProps: Object.entries(metadata).map(([key, value]) => ({ key, value })),
    graph: {
      name,
      node: graph.nodes.map((node) => ({
        name: node.name,
        opType: node.op,
        domain: node.domain,
        input: node.inputs.map((value) => value.name),
        output: node.outputs.map((value) => value.name),
        attribute: Object.entries(node.attributes).map(encodeAttribute),
      })),
      initializer: graph.initializers.map(({ value, data }) => ({
        name: value.name,
        dims: [...value.shape],
        dataType: elementTypes[value.dtype],
        rawData: Buffer.from(data.buffer, data.byteOffset, data.byteLength),
      })),
      input: graph.inputs.map(encodeValueInfo),
      output: graph.outputs.map(encodeValueInfo),
      valueInfo: (graph.stated ?? []).map(encodeValueInfo),
    },
  }).finish();
}

export function encodeAttribute([name, value]: [string, Attribute]): AttributeProto {
  const empty = { name, t: undefined, floats: [], ints: [], strings: [] };
  if (typeof value === "number") return { ...empty, type: AttributeType.INT, i: value };
  if (typeof value === "string") return { ...empty, type: AttributeType.STRING, s: Buffer.from(value) };
  if ("float" in value) return { ...empty, type: AttributeType.FLOAT, f: value.float };
  return { ...empty, type: AttributeType.INTS, ints: [...value] };
}

function encodeValueInfo({ name, shape, dtype, dims = shape }: Value): ValueInfoProto {
  const dim = dims.map((size) =>
    typeof size === "number" ? { dimValue: size, dimParam: "" } : { dimValue: 0, dimParam: size },
  );
  return { name, type: { tensorType: { elemType: elementTypes[dtype], shape: { dim } } } };
}
