import { LatheError, type FieldViolation } from "../process/errors";
import { ConditionStatus, type Condition } from "../proto/lathe/v1/search";
import { MAX_DEVICE_CLASS_LENGTH } from "./bounds";

/** Whether a text may name a device class. The name is a token of the subject of its work queue. */
export const isDeviceClass = (text: string): boolean =>
  text.length <= MAX_DEVICE_CLASS_LENGTH && /^[a-z0-9][a-z0-9-]*$/.test(text);

/** The rule of isDeviceClass in words. */
export const DEVICE_CLASS_RULE = `1 to ${MAX_DEVICE_CLASS_LENGTH} of a-z, 0-9 and -, and not begin with -`;

const FIELD = "profiling.device_class";

/** The classes that have live workers, in words. */
export const aliveOnly = (classes: readonly string[]): string =>
  classes.length === 0 ? "no latency worker is alive" : `only workers of ${classes.join(", ")} are alive`;

/** The refusal of a spec whose class has no live worker. */
export function deviceNotServed(deviceClass: string, classes: readonly string[]): LatheError {
  const description = `is "${deviceClass}", must be a device class with a live latency worker: ${aliveOnly(classes)}`;
  const advice = "start a worker of this class, name another, or wait for one (--wait, wait_for_device)";
  return new LatheError("FAILED_PRECONDITION", `${FIELD} ${description}; ${advice}`, {
    reason: "DEVICE_NOT_SERVED",
    metadata: { field: FIELD, device_class: deviceClass, classes: classes.join(",") },
  });
}

/** Whether a condition says that no live worker serves the class of its search: the search waits for one, or will at its end. */
export const isUnserved = ({ type, status }: Condition): boolean =>
  type === "Device" && status === ConditionStatus.CONDITION_STATUS_FALSE;

/** The fault of a spec that asks for more threads than its class has logical cores; none where it does not. */
export function threadViolations(threads: number, cores: number, deviceClass: string): FieldViolation[] {
  if (threads <= cores) return [];
  const description = `is ${threads}, must be at most ${cores}, the logical ${cores === 1 ? "core" : "cores"} of device class ${deviceClass}`;
  return [{ field: "profiling.threads", description }];
}
