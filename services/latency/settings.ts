import type { Provider } from "../../shared/engine/provider";
import type { FieldViolation } from "../../shared/process/errors";
import type { ProfilingSpec } from "../../shared/proto/lathe/v1/spec";
import { NUMBERS, numberFault, snakeCase } from "../../shared/spec/bounds";
import { threadsFault } from "./cpu";

/** A profiling request with every field set. */
export interface ProfilingSettings {
  /** Name of the device class, as its operator gave it. */
  deviceClass: string;
  provider: Provider;
  warmupRuns: number;
  timedRuns: number;
  threads: number;
}

/** Values of the fields that a request does not set. */
export function defaultSettings(deviceClass: string, threads: number, provider: Provider = "cpu"): ProfilingSettings {
  const { warmupRuns, timedRuns } = NUMBERS.profiling;
  return { deviceClass, provider, warmupRuns: warmupRuns.small, timedRuns: timedRuns.small, threads };
}

/** The worker that a request is checked for. */
export interface ProfilingWorker {
  deviceClass: string;
  /** Logical cores that it may use. */
  cores: number;
}

/** Every fault of a profiling spec for this worker. Field names begin with the prefix ("profiling."). */
export function profilingViolations(
  spec: ProfilingSpec | undefined,
  { deviceClass, cores }: ProfilingWorker,
  prefix: string,
): FieldViolation[] {
  const violations: FieldViolation[] = [];
  const asked = spec?.deviceClass;
  if (asked !== undefined && asked !== "" && asked !== deviceClass)
    violations.push({
      field: `${prefix}device_class`,
      description: `is "${asked}", must be "${deviceClass}": this worker measures no other`,
    });
  for (const key of ["warmupRuns", "timedRuns", "threads"] as const) {
    const value = spec?.[key];
    if (value === undefined) continue;
    const fault =
      numberFault(value, NUMBERS.profiling[key]) ?? (key === "threads" ? threadsFault(value, cores) : undefined);
    if (fault !== undefined) violations.push({ field: prefix + snakeCase(key), description: fault });
  }
  return violations;
}

/** A checked spec with the defaults filled in. */
export function completeSettings(spec: ProfilingSpec | undefined, defaults: ProfilingSettings): ProfilingSettings {
  return {
    ...defaults,
    warmupRuns: spec?.warmupRuns ?? defaults.warmupRuns,
    timedRuns: spec?.timedRuns ?? defaults.timedRuns,
    threads: spec?.threads ?? defaults.threads,
  };
}
