import { delimiter, join } from "node:path";
import { packageRoot } from "../process/root";

/** Commands that fill native/<name> (scripts/native). */
export const INSTALL = { tensorflow: "npm run tensorflow:install", cuda: "npm run cuda:install" } as const;

/** The folder beside node_modules in which an install command has left libraries; it may be missing. */
export const nativeFolder = (name: keyof typeof INSTALL): string => join(packageRoot(), "native", name);

/**
 * Environment of a process that computes. Its libonnxruntime is then found in native/cuda, where it also looks for the CUDA provider and
 * where the provider finds NVIDIA's libraries. The system reads the variable when a process starts.
 */
export function computingEnvironment(): { LD_LIBRARY_PATH: string } {
  const before = process.env.LD_LIBRARY_PATH;
  return { LD_LIBRARY_PATH: [nativeFolder("cuda"), ...(before ? [before] : [])].join(delimiter) };
}
