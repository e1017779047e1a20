/** Execution providers of ONNX Runtime that Lathe supports. */
export type Provider = "cpu" | "cuda" | "tensorrt";
