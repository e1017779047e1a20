import { onnxRuntimeVersion } from "../../shared/engine/engine";
import { allowsTf32 } from "../../shared/engine/native";
import { deviceName } from "./devices";
import type { Conditions } from "./figures";
import type { ImageSize } from "./image";
import { gpuRuntime, thisMachine } from "./machine";
import type { ProfilingSettings } from "./settings";

/** Precision of every network that Lathe exports, and of its products on a GPU that may round them. */
const precisionOn = (deviceClass: string) => (deviceClass !== "cpu" && allowsTf32() ? "tf32" : "fp32");

/** Device and settings of a measurement of a batch of images. */
export function conditionsOf(
  { deviceClass, threads }: ProfilingSettings,
  { batchSize, height, width }: ImageSize & { batchSize: number },
): Conditions {
  return {
    device: deviceName(deviceClass, thisMachine),
    deviceClass,
    runtime: [`onnxruntime-node ${onnxRuntimeVersion()}`, ...(deviceClass === "cpu" ? [] : gpuRuntime())].join(", "),
    precision: precisionOn(deviceClass),
    batchSize,
    inputHeight: height,
    inputWidth: width,
    threads,
  };
}
