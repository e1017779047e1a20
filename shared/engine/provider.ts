/** Execution providers of ONNX Runtime that a configuration may name. */
export type Provider = "cpu" | "cuda" | "tensorrt";
