import type { Provider } from "../../shared/engine/engine";
import { LatheError } from "../../shared/process/errors";
import type { Device } from "../../shared/proto/lathe/v1/latency";

/** Kinds of device that a worker can be of, and what ONNX Runtime runs them by; the class is also the name of the work queue. */
export const DEVICE_CLASSES = ["cpu", "cuda", "tensorrt"] as const;
export type DeviceClass = (typeof DEVICE_CLASSES)[number];

export const providerOf: Readonly<Record<DeviceClass, Provider>> = { cpu: "cpu", cuda: "cuda", tensorrt: "tensorrt" };

const providerNames: Readonly<Record<Provider, string>> = {
  cpu: "CPUExecutionProvider",
  cuda: "CUDAExecutionProvider",
  tensorrt: "TensorrtExecutionProvider",
};

/** What is asked of the machine: machine.ts, which loads ONNX Runtime, answers it in the measuring process. */
export interface Machine {
  /** Providers that this build of ONNX Runtime knows. */
  providers(): readonly string[];
  /** Rejects where a session on the provider cannot be made. */
  require(provider: Provider): Promise<void>;
  cpuModels(): readonly string[];
  /** Empty where the driver tells none. */
  gpuModels(): readonly string[];
}

/** "Intel(R) Xeon(R) CPU, 2 logical cores"; GPUs by the names that their driver tells. */
export function deviceName(deviceClass: DeviceClass, machine: Machine): string {
  if (deviceClass === "cpu") {
    const models = machine.cpuModels();
    const cores = `${models.length} logical ${models.length === 1 ? "core" : "cores"}`;
    return `${models[0] === undefined || models[0] === "" ? "CPU of unknown model" : models[0]}, ${cores}`;
  }
  // ONNX Runtime takes device 0 unless told otherwise.
  return machine.gpuModels()[0] ?? "NVIDIA GPU of unknown model";
}

/** Every device class, and for those that cannot be measured here the reason. */
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
    const { message, cause } = LatheError.from(error);
    return cause instanceof Error ? `${message} (${cause.message})` : message;
  }
}

/** Throws FAILED_PRECONDITION (DEVICE_UNAVAILABLE) where the class is not among the devices that can be measured. */
export function requireDevice(devices: readonly Device[], deviceClass: DeviceClass): void {
  const device = devices.find((entry) => entry.deviceClass === deviceClass);
  if (device?.available === true) return;
  throw new LatheError(
    "FAILED_PRECONDITION",
    `device class ${deviceClass} is not available here: ${device?.reason ?? "unknown class"}`,
    { reason: "DEVICE_UNAVAILABLE" },
  );
}
