import { createHash } from "node:crypto";
import { allowsTf32 } from "../../shared/engine/native";
import type { CpuFigures, DeviceFigures, GpuFigures } from "../../shared/proto/lathe/v1/result";
import type { ProfilingSettings } from "./settings";
import { UNIT_NAME } from "./unit";

/** The settings of a measurement that decide on which device it runs. */
export type DeviceSettings = Pick<ProfilingSettings, "deviceClass" | "provider" | "threads">;

/** The machine as it is now. */
interface Readings {
  /** Name and version of the runtime. */
  runtime: string;
  cpu: () => CpuFigures;
  gpu: () => GpuFigures;
}

/** The device of a measurement with these settings. */
export function deviceFigures(
  { deviceClass, provider, threads }: DeviceSettings,
  { runtime, cpu, gpu }: Readings,
): DeviceFigures {
  const figures: DeviceFigures = {
    deviceClass,
    provider,
    runtime,
    // Precision of every network that Lathe exports, and of its products on a GPU that may round them.
    precision: provider !== "cpu" && allowsTf32() ? "tf32" : "fp32",
    threads,
    cpu: cpu(),
    gpu: provider === "cpu" ? undefined : gpu(),
    key: "",
  };
  return { ...figures, key: provenanceKey(figures) };
}

/** SHA-256 over what decides the speed of a device, and the unit in which its times count. Clocks, power and states of the moment are left out: they differ between two readings. */
export function provenanceKey({ deviceClass, provider, runtime, precision, threads, cpu, gpu }: DeviceFigures): string {
  const parts = [
    [deviceClass, provider, runtime, precision, threads, UNIT_NAME],
    cpu && [cpu.model, cpu.features, cpu.cores, cpu.quotaCores, cpu.governor, cpu.turbo, cpu.maxMhz],
    gpu && [gpu.model, gpu.driver, gpu.cuda, gpu.cudnn, gpu.sharing, gpu.powerLimitWatts, gpu.maxSmMhz],
  ];
  return createHash("sha256").update(JSON.stringify(parts)).digest("hex");
}
