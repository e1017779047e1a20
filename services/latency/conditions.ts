import { deviceName } from "./devices";
import { gpuRuntime } from "./gpu";
import { thisMachine } from "./machine";
import type { Conditions } from "./measure";
import type { ProfilingSettings } from "./settings";

/** Device and settings of a measurement at an image size. Clocks are best read right after the runs. */
export function conditionsOf(settings: ProfilingSettings, height: number, width: number): Conditions {
  const measuredOn = thisMachine.figures(settings);
  const { deviceClass, runtime, precision, threads, gpu } = measuredOn;
  return {
    device: deviceName(measuredOn),
    deviceClass,
    runtime: [runtime, ...(gpu ? gpuRuntime(gpu) : [])].join(", "),
    precision,
    batchSize: 1,
    inputHeight: height,
    inputWidth: width,
    threads,
    measuredOn,
  };
}
