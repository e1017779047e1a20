import type { EngineOptions } from "../shared/engine/engine";
import { requireEngine } from "../shared/engine/require";
import { read } from "../shared/process/config";
import { engineOf, engineSettings, requireDataCache } from "../shared/service/engine";

/** The engine that a local stack gets from this command's environment. Throws INVALID_ARGUMENT for a setting with a fault. */
export const configuredEngine = (): EngineOptions => engineOf(read(engineSettings, process.env));

/** Checks what the services of a local stack check when they start: before anything is written, and with one message. */
export async function requireConfigured(): Promise<void> {
  const config = read(engineSettings, process.env);
  await requireDataCache(config);
  await requireEngine(engineOf(config));
}
