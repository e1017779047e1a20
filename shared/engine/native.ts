import { delimiter, join } from "node:path";
import { packageRoot } from "../process/root";

/** Commands that fill native/<name> (scripts/native). */
export const INSTALL = { tensorflow: "npm run tensorflow:install", cuda: "npm run cuda:install" } as const;

/** The folder beside node_modules in which an install command has left libraries; it may be missing. */
export const nativeFolder = (name: keyof typeof INSTALL): string => join(packageRoot(), "native", name);

/** NVIDIA's libraries read it at their start: at 0 no product of float32 numbers is rounded to TF32, whatever ONNX Runtime asks for. */
const TF32 = "NVIDIA_TF32_OVERRIDE";

/** Whether this process lets a GPU round the factors of float32 products to TF32, of 10 bits instead of 23. */
export const allowsTf32 = (): boolean => process.env[TF32] !== "0";

/**
 * Environment of a process that computes. Its libonnxruntime is then found in native/cuda, where it also looks for the CUDA provider and
 * where the provider finds NVIDIA's libraries. The system reads LD_LIBRARY_PATH when a process starts. TF32 is off unless the user's own
 * environment has its variable. CUDA counts GPUs as nvidia-smi does, so that both mean the same one.
 */
export function computingEnvironment(): Record<string, string> {
  const before = process.env.LD_LIBRARY_PATH;
  return {
    LD_LIBRARY_PATH: [nativeFolder("cuda"), ...(before ? [before] : [])].join(delimiter),
    [TF32]: process.env[TF32] ?? "0",
    CUDA_DEVICE_ORDER: process.env.CUDA_DEVICE_ORDER ?? "PCI_BUS_ID",
  };
}
