import { startWorker } from "../process/worker";
import type { EngineOptions } from "./engine";
import { computingEnvironment } from "./native";

/**
 * Throws FAILED_PRECONDITION (ENGINE_UNAVAILABLE), with a message of one line, if this machine lacks the engine, so that a service refuses
 * to start instead of failing every search. ONNX Runtime on the CPU is not tried, because npm installs it.
 */
export async function requireEngine(options: EngineOptions): Promise<void> {
  if (options.engine === "onnxruntime" && options.provider === "cpu") return;
  await engineName(options);
}

/** The name of the engine, from a process that has run a small graph on it and has ended. Throws as requireEngine does. */
export function engineName(options: EngineOptions): Promise<string> {
  const entry = { dir: __dirname, name: "probe", env: computingEnvironment() };
  return startWorker<EngineOptions, never, string>(entry).run(options);
}
