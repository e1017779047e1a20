import type { Provider } from "../../shared/engine/engine";
import { sleep } from "../../shared/events/faults";
import { LatheError } from "../../shared/process/errors";
import type { Device } from "../../shared/proto/lathe/v1/latency";

/** Classes of device on which a worker can measure. The class also names the work queue. */
export const DEVICE_CLASSES = ["cpu", "cuda", "tensorrt"] as const;
export type DeviceClass = (typeof DEVICE_CLASSES)[number];

export const providerOf: Readonly<Record<DeviceClass, Provider>> = { cpu: "cpu", cuda: "cuda", tensorrt: "tensorrt" };

const providerNames: Readonly<Record<Provider, string>> = {
  cpu: "CPUExecutionProvider",
  cuda: "CUDAExecutionProvider",
  tensorrt: "TensorrtExecutionProvider",
};

/** Facts about the machine. services/latency/machine.ts reads them in the measuring process, where ONNX Runtime is loaded. */
export interface Machine {
  /** Providers of this build of ONNX Runtime. */
  providers(): readonly string[];
  /** Rejects if a session on the provider cannot be created. */
  require(provider: Provider): Promise<void>;
  cpuModels(): readonly string[];
  /** Names that the driver reports; may be empty. */
  gpuModels(): readonly string[];
}

/** "Intel(R) Xeon(R) CPU, 2 logical cores", or the name that the GPU's driver reports. */
export function deviceName(deviceClass: DeviceClass, machine: Machine): string {
  if (deviceClass === "cpu") {
    const models = machine.cpuModels();
    const cores = `${models.length} logical ${models.length === 1 ? "core" : "cores"}`;
    return `${models[0] === undefined || models[0] === "" ? "CPU of unknown model" : models[0]}, ${cores}`;
  }
  // ONNX Runtime uses device 0 by default.
  return machine.gpuModels()[0] ?? "NVIDIA GPU of unknown model";
}

/** Lists every device class, with the reason if this machine cannot measure it. */
export async function listDevices(machine: Machine): Promise<Device[]> {
  const known = machine.providers();
  const devices: Device[] = [];
  for (const deviceClass of DEVICE_CLASSES) {
    const provider = providerOf[deviceClass];
    const reason = known.includes(provider)
      ? await faultOf(provider, machine)
      : `this build of ONNX Runtime has no provider ${provider}, only ${known.join(", ")}`;
    const available = reason === "";
    const name = available || deviceClass === "cpu" ? deviceName(deviceClass, machine) : "";
    devices.push({ deviceClass, name, provider: providerNames[provider], available, reason });
  }
  return devices;
}

async function faultOf(provider: Provider, machine: Machine): Promise<string> {
  try {
    await machine.require(provider);
    return "";
  } catch (error) {
    return LatheError.from(error).message;
  }
}

/** The measuring process may be killed while many services start at once and memory is short. */
const ATTEMPTS = 5;

interface FindOptions {
  signal: AbortSignal;
  /** Called with the reason when the measuring process has died and is started once more. */
  onDied: (why: string) => void;
  /** Pause before the second attempt, doubled before each later one. */
  pauseMs?: number;
}

/**
 * The devices, listed by a measuring process. Where that process dies, another is started, up to five in all; UNAVAILABLE
 * (DEVICES_UNKNOWN) when the last has died too.
 */
export async function findDevices(
  list: () => Promise<Device[]>,
  { signal, onDied, pauseMs = 500 }: FindOptions,
): Promise<Device[]> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await list();
    } catch (thrown) {
      const error = LatheError.from(thrown);
      if (error.reason !== "WORKER_DIED" || signal.aborted) throw error;
      if (attempt === ATTEMPTS)
        throw new LatheError(
          "UNAVAILABLE",
          `the devices could not be listed in ${ATTEMPTS} attempts: ${error.message}`,
          { reason: "DEVICES_UNKNOWN", cause: error },
        );
      onDied(`attempt ${attempt} of ${ATTEMPTS} to list the devices: ${error.message}`);
      await sleep(pauseMs * 2 ** (attempt - 1), signal);
    }
  }
}

/** Throws FAILED_PRECONDITION (DEVICE_UNAVAILABLE) if the class cannot be measured here. */
export function requireDevice(devices: readonly Device[], deviceClass: DeviceClass): void {
  const device = devices.find((entry) => entry.deviceClass === deviceClass);
  if (device?.available === true) return;
  throw new LatheError(
    "FAILED_PRECONDITION",
    `device class ${deviceClass} is not available here: ${device?.reason ?? "unknown class"}`,
    { reason: "DEVICE_UNAVAILABLE" },
  );
}
