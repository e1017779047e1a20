import type { FieldViolation } from "../../shared/process/errors";
import type { ProfilingSpec } from "../../shared/proto/lathe/v1/spec";
import { NUMBERS, numberFault, snakeCase } from "../../shared/spec/bounds";
import type { DeviceClass } from "./devices";

/** A profiling request with every field set. */
export interface ProfilingSettings {
  deviceClass: DeviceClass;
  warmupRuns: number;
  timedRuns: number;
  threads: number;
}

/** Values of the fields that a request does not set. */
export function defaultSettings(deviceClass: DeviceClass, threads: number): ProfilingSettings {
  const { warmupRuns, timedRuns } = NUMBERS.profiling;
  return { deviceClass, warmupRuns: warmupRuns.small, timedRuns: timedRuns.small, threads };
}

/** Every fault of a profiling spec for this worker. Field names begin with the prefix ("profiling."). */
export function profilingViolations(
  spec: ProfilingSpec | undefined,
  deviceClass: DeviceClass,
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
    const fault = value === undefined ? undefined : numberFault(value, NUMBERS.profiling[key]);
    if (fault !== undefined) violations.push({ field: prefix + snakeCase(key), description: fault });
  }
  return violations;
}

/** A checked spec with the defaults filled in. */
export function completeSettings(spec: ProfilingSpec | undefined, defaults: ProfilingSettings): ProfilingSettings {
  return {
    deviceClass: defaults.deviceClass,
    warmupRuns: spec?.warmupRuns ?? defaults.warmupRuns,
    timedRuns: spec?.timedRuns ?? defaults.timedRuns,
    threads: spec?.threads ?? defaults.threads,
  };
}
