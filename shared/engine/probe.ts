import { createRequire } from "node:module";
import { serveWorker } from "../process/worker";
import type { EngineOptions } from "./engine";
import { causeOf, unavailable } from "./missing";

/** Loads an engine and its libraries in a process that ends afterwards, and returns the engine's name. */
serveWorker<EngineOptions, never, string>(async (options) => {
  if (options.engine === "onnxruntime" && options.provider !== "cpu") {
    // Before TF.js and ONNX Runtime are loaded, which takes most of a second.
    const missing = causeOf(options.provider);
    if (missing !== undefined) throw unavailable(options, missing);
  }
  const { createEngine } = createRequire(__filename)("./engine") as typeof import("./engine");
  return (await createEngine(options)).name;
});
