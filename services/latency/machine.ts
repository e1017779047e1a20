import { readdirSync, readFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { listSupportedBackends } from "onnxruntime-node";
import { cudaLibraries } from "../../shared/engine/cuda";
import { askDriver } from "../../shared/engine/device";
import { requireProvider } from "../../shared/engine/session";
import type { Machine } from "./devices";

const GPU_FOLDER = "/proc/driver/nvidia/gpus";

export const thisMachine: Machine = {
  providers: () => listSupportedBackends().map(({ name }) => name),
  require: (provider) => requireProvider({ provider, threads: 1 }),
  cpuModels: () => cpus().map(({ model }) => model.trim()),
  gpuModels: () => {
    try {
      return readdirSync(GPU_FOLDER).flatMap((slot) => {
        const information = readFileSync(join(GPU_FOLDER, slot, "information"), "utf8");
        return /^Model:\s*(.+)$/m.exec(information)?.[1]?.trim() ?? [];
      });
    } catch {
      // Without a driver there is no name. The provider itself says whether a device is available.
      return [];
    }
  },
};

/** The libraries, driver and clock of a GPU, on which the time of a run depends too. The clock is best read right after the runs. */
export function gpuRuntime(libraries = cudaLibraries(), ask = askDriver): string[] {
  const [driver, clock, highest] = ask(["driver_version", "clocks.sm", "clocks.max.sm"], true) ?? [];
  return [
    libraries || "CUDA and cuDNN of unknown version",
    ...(driver === undefined ? [] : [`driver ${driver}`, `SM clock ${clock} of ${highest}`]),
  ];
}
