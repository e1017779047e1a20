import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { nativeFolder } from "./native";

/** scripts/native/cuda.c. */
interface Addon {
  setOptions(options: string): void;
  libraries(): string;
}

/** `npm run cuda:install` leaves the addon out where it finds no C compiler. */
function addon(): Addon | undefined {
  const path = join(nativeFolder("cuda"), "lathe.node");
  return existsSync(path) ? (createRequire(__filename)(path) as Addon) : undefined;
}

/** Options of the CUDA provider that are not ONNX Runtime's own defaults; docs/engine.md#on-a-gpu has the reasons. */
const OPTIONS = { arena_extend_strategy: "kSameAsRequested", cudnn_conv_algo_search: "HEURISTIC" };

/**
 * Gives the CUDA provider its options in all sessions that this process creates from now on; `memoryBytes` bounds the memory arena of each,
 * 0 does not. Throws if the addon cannot do so. Without the addon the provider has ONNX Runtime's defaults.
 */
export function setCudaOptions(memoryBytes = 0): void {
  const options = { ...OPTIONS, ...(memoryBytes > 0 && { gpu_mem_limit: memoryBytes }) };
  const pairs = Object.entries(options).map(([name, value]) => `${name}=${value}`);
  addon()?.setOptions(pairs.join(";"));
}

/** "CUDA 13.0, cuDNN 9.24.0": the libraries that the provider loads in this process; "" where the addon or both are missing. */
export const cudaLibraries = (): string => addon()?.libraries() ?? "";
