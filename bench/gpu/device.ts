import { cudaLibraries } from "../../shared/engine/cuda";
import { askDriver } from "../../shared/engine/device";

/** Facts that NVIDIA's driver and libraries report, by name. */
export function deviceFacts(): Record<string, string> {
  const fields = {
    device: "name",
    driver: "driver_version",
    "compute capability": "compute_cap",
    "memory, total": "memory.total",
    "memory, free": "memory.free",
    "clock, SM": "clocks.sm",
    "clock, SM, highest": "clocks.max.sm",
    "clock, memory": "clocks.mem",
    "performance state": "pstate",
    MIG: "mig.mode.current",
  };
  const values = askDriver(Object.values(fields), true);
  const libraries = cudaLibraries();
  return {
    ...(values && Object.fromEntries(Object.keys(fields).map((name, at) => [name, values[at] ?? ""]))),
    ...(libraries !== "" && { libraries }),
  };
}

/** Memory of the device that is in use, in MiB; undefined without NVIDIA's driver. */
export function usedMebibytes(): number | undefined {
  const [text] = askDriver(["memory.used"]) ?? [];
  return text === undefined ? undefined : Number(text);
}
