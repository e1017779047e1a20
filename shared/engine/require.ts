import { startWorker } from "../process/worker";
import type { EngineOptions } from "./engine";

/**
 * Throws FAILED_PRECONDITION (ENGINE_UNAVAILABLE) in one line where this machine lacks what the engine needs, so that a service refuses to
 * start instead of failing every search. What npm installs, ONNX Runtime on the CPU, is not tried.
 */
export async function requireEngine(options: EngineOptions): Promise<void> {
  if (options.engine === "onnxruntime" && options.provider === "cpu") return;
  await startWorker<EngineOptions, never, string>({ dir: __dirname, name: "probe" }).run(options);
}
