import { z } from "zod";
import { deviceSettings } from "../../services/latency/config";
import { availableCores } from "../../services/latency/cpu";
import { servedDevice } from "../../services/latency/devices";
import { read } from "../../shared/process/config";
import { refuse } from "../../shared/space/validate";
import { deviceNotServed, threadViolations } from "../../shared/spec/deviceClass";
import type { ResolvedSpec } from "../../shared/spec/resolve";

/** Refuses a spec, as the search service would, that a stack of this environment cannot measure; before it is started, which takes seconds. */
export function requireOwnDevice({ profiling: { deviceClass, threads } }: ResolvedSpec): void {
  const settings = read(z.object(deviceSettings), process.env);
  const served = servedDevice(settings.LATHE_DEVICE_CLASS, settings.LATHE_PROFILING_PROVIDER);
  if (deviceClass !== served.deviceClass) throw deviceNotServed(deviceClass, [served.deviceClass]);
  refuse("INVALID_SPEC", "spec", threadViolations(threads, availableCores(), deviceClass));
}
