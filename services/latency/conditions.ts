import { deviceName } from "./devices";
import type { Conditions } from "./figures";
import { gpuRuntime } from "./gpu";
import type { ImageSize } from "./image";
import { thisMachine } from "./machine";
import type { ProfilingSettings } from "./settings";

/** Device and settings of a measurement of a batch of images. Clocks are best read right after the runs. */
export function conditionsOf(
  settings: ProfilingSettings,
  { batchSize, height, width }: ImageSize & { batchSize: number },
): Conditions {
  const measuredOn = thisMachine.figures(settings);
  const { deviceClass, runtime, precision, threads, gpu } = measuredOn;
  return {
    device: deviceName(measuredOn),
    deviceClass,
    runtime: [runtime, ...(gpu ? gpuRuntime(gpu) : [])].join(", "),
    precision,
    batchSize,
    inputHeight: height,
    inputWidth: width,
    threads,
    measuredOn,
  };
}
