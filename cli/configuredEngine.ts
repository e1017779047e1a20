import type { EngineOptions } from "../shared/engine/engine";
import { read } from "../shared/process/config";
import { engineOf, engineSettings } from "../shared/service/engine";

/** The engine that a local stack gets from this command's environment. Throws INVALID_ARGUMENT for a setting with a fault. */
export const configuredEngine = (): EngineOptions => engineOf(read(engineSettings, process.env));
