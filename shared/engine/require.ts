import { startWorker } from "../process/worker";
import type { EngineOptions } from "./engine";

/**
 * Throws FAILED_PRECONDITION (ENGINE_UNAVAILABLE), with a message of one line, if this machine lacks the engine, so that a service refuses
 * to start instead of failing every search. ONNX Runtime on the CPU is not tried, because npm installs it.
 */
export async function requireEngine(options: EngineOptions): Promise<void> {
  if (options.engine === "onnxruntime" && options.provider === "cpu") return;
  await startWorker<EngineOptions, never, string>({ dir: __dirname, name: "probe" }).run(options);
}
