import { serveWorker } from "../process/worker";
import { createEngine, type EngineOptions } from "./engine";

/** Loads an engine and its libraries in a process that ends afterwards. */
serveWorker<EngineOptions, never, string>(async (options) => (await createEngine(options)).name);
