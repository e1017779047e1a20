import type { EngineOptions } from "../../shared/engine/engine";
import { engineName } from "../../shared/engine/require";
import { LatheError } from "../../shared/process/errors";
import { ok, warning, type Finding } from "./finding";

type Kind = Pick<EngineOptions, "engine" | "provider">;

/** All engines, with the settings that ask for them. */
const KINDS: readonly Kind[] = [
  { engine: "onnxruntime", provider: "cpu" },
  { engine: "onnxruntime", provider: "cuda" },
  { engine: "onnxruntime", provider: "tensorrt" },
  { engine: "tensorflow", provider: "cpu" },
  { engine: "tensorflow", provider: "cuda" },
];

/** Runs a small graph on each engine of this machine. A missing one is a warning, with its cause and the command that installs it. */
export function checkEngines(probe = engineName): Promise<Finding[]> {
  return Promise.all(KINDS.map((kind) => checkEngine(kind, probe)));
}

async function checkEngine({ engine, provider }: Kind, probe: typeof engineName): Promise<Finding> {
  try {
    return ok("engine", `this machine runs ${await probe({ engine, provider, threads: 1 })}`);
  } catch (error) {
    return warning(
      "engine",
      LatheError.from(error).message,
      `needed only for LATHE_ENGINE=${engine} with LATHE_PROVIDER=${provider}`,
    );
  }
}
