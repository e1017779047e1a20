import type { Provider } from "../../shared/engine/engine";
import { sleep } from "../../shared/events/faults";
import { LatheError } from "../../shared/process/errors";
import type { Device } from "../../shared/proto/lathe/v1/latency";
import type { DeviceFigures } from "../../shared/proto/lathe/v1/result";
import type { DeviceSettings } from "./provenance";

/** Providers of ONNX Runtime on which a worker can measure. */
export const PROVIDERS = ["cpu", "cuda", "tensorrt"] as const satisfies readonly Provider[];

/** The device class that a worker serves, and the provider on which it measures. The class also names the work queue. */
export interface ServedDevice {
  deviceClass: string;
  provider: Provider;
}

/**
 * The class and the provider of a worker. A class without a name is named by its provider. Without a provider, a class of the name of one has
 * that one, and each other class has the CPU.
 */
export function servedDevice(name: string | undefined, asked: Provider | undefined): ServedDevice {
  const provider = asked ?? PROVIDERS.find((known) => known === name) ?? "cpu";
  return { deviceClass: name ?? provider, provider };
}

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
  /** A device of this machine as it is now. */
  figures(settings: DeviceSettings): DeviceFigures;
}

/** "Intel(R) Xeon(R) CPU, 2 logical cores", or the name that the GPU's driver reports. */
export function deviceName({ cpu, gpu }: Pick<DeviceFigures, "cpu" | "gpu">): string {
  if (gpu) return gpu.model || "NVIDIA GPU of unknown model";
  const { model = "", cores = 1 } = cpu ?? {};
  return `${model || "CPU of unknown model"}, ${cores} logical ${cores === 1 ? "core" : "cores"}`;
}

/** Lists every provider, with the reason if this machine cannot measure on it. */
export async function listDevices(machine: Machine, served: ServedDevice, threads: number): Promise<Device[]> {
  const known = machine.providers();
  const devices: Device[] = [];
  for (const provider of PROVIDERS) {
    const reason = known.includes(provider)
      ? await faultOf(provider, machine)
      : `this build of ONNX Runtime has no provider ${provider}, only ${known.join(", ")}`;
    const available = reason === "";
    const deviceClass = provider === served.provider ? served.deviceClass : provider;
    const figures = available ? machine.figures({ deviceClass, provider, threads }) : undefined;
    const name = figures ? deviceName(figures) : "";
    devices.push({ deviceClass, name, provider: providerNames[provider], available, reason, figures });
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
/** Reasons of a process that died. */
const DEATHS: ReadonlySet<string | undefined> = new Set(["WORKER_DIED", "MEMORY_EXCEEDED"]);

interface FindOptions {
  signal: AbortSignal;
  /** Called with the reason when the measuring process has died and is started once more. */
  onDied: (why: string) => void;
  /** Pause before the second attempt, doubled before each later one. */
  pauseMs?: number;
}

/**
 * The devices, listed by a measuring process. Where that process dies, also of want of memory, another is started, up to five in all;
 * UNAVAILABLE (DEVICES_UNKNOWN) when the last has died too.
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
      if (!DEATHS.has(error.reason) || signal.aborted) throw error;
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

/** The figures of the device that a worker serves; FAILED_PRECONDITION (DEVICE_UNAVAILABLE) where it cannot be measured here. */
export function requireDevice(devices: readonly Device[], { deviceClass, provider }: ServedDevice): DeviceFigures {
  const device = devices.find((entry) => entry.provider === providerNames[provider]);
  if (device?.available === true && device.figures) return device.figures;
  throw new LatheError(
    "FAILED_PRECONDITION",
    `device class ${deviceClass} is not available here: ${device?.reason ?? `unknown provider ${provider}`}`,
    { reason: "DEVICE_UNAVAILABLE" },
  );
}
