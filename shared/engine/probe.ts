import { createRequire } from "node:module";
import { serveWorker } from "../process/worker";
import type { EngineOptions } from "./engine";
import { causeOf, unavailable } from "./missing";

/** Runs a small graph on an engine in a process that ends afterwards, and returns the engine's name. */
serveWorker<EngineOptions, never, string>(async (options) => {
  if (options.engine === "onnxruntime" && options.provider !== "cpu") {
    // Before TF.js and ONNX Runtime are loaded, which takes most of a second.
    const missing = causeOf(options.provider);
    if (missing !== undefined) throw unavailable(options, missing);
  }
  const { createEngine, runSmallGraph } = createRequire(__filename)("./engine") as typeof import("./engine");
  const engine = await createEngine(options);
  await runSmallGraph((...step) => engine.compile(...step));
  return engine.name;
});
