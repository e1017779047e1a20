import { takesImages, type ModelForm, type ModelTensor } from "./model";

/** Largest batch that Triton forms of waiting requests. */
const MAX_BATCH = 8;

const types: Readonly<Record<ModelTensor["type"], string>> = {
  ...{ float32: "TYPE_FP32", uint8: "TYPE_UINT8", int32: "TYPE_INT32", int64: "TYPE_INT64" },
};

/**
 * The config.pbtxt of a network for Triton's ONNX Runtime backend. Triton batches requests where the batch of the file is open; otherwise
 * each request has the batch of the file.
 */
export function tritonConfig(name: string, form: ModelForm): string {
  const { inputs, outputs } = form;
  const batched = inputs.every(({ shape }) => shape[0] === -1);
  const tensor = (of: ModelTensor) =>
    `  {\n    name: ${JSON.stringify(of.name)}\n    data_type: ${types[of.type]}\n    dims: [ ${(batched ? of.shape.slice(1) : of.shape).join(", ")} ]\n  }`;
  const list = (field: string, tensors: readonly ModelTensor[]) => `${field} [\n${tensors.map(tensor).join(",\n")}\n]`;
  return [
    `name: ${JSON.stringify(name)}`,
    'backend: "onnxruntime"',
    `max_batch_size: ${batched ? MAX_BATCH : 0}`,
    list("input", inputs),
    list("output", outputs),
    ...(batched
      ? [
          "# Requests of one size are put together; those of other sizes run by themselves.",
          "dynamic_batching {\n  max_queue_delay_microseconds: 1000\n}",
        ]
      : []),
    `# ${takesImages(form) ? "Images as bytes, NHWC, RGB." : "See preprocess.json for what an image needs before."}`,
    "",
  ].join("\n");
}
