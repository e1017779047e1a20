import { z } from "zod";
import { baseSchema, duration, flag, integer, oneOf, parsed } from "../../shared/process/config";
import { DEVICE_CLASS_RULE, isDeviceClass } from "../../shared/spec/deviceClass";
import { availableCores } from "./cpu";
import { PROVIDERS } from "./devices";

/** The device on which the service measures. */
export const deviceSettings = {
  /** The name of the device class that this worker serves. It also names the worker's queue. */
  LATHE_DEVICE_CLASS: parsed(DEVICE_CLASS_RULE, (name) => (isDeviceClass(name) ? name : undefined)).optional(),
  /** The provider of ONNX Runtime on which it measures. */
  LATHE_PROFILING_PROVIDER: oneOf(PROVIDERS).optional(),
};

/** Settings of the latency service. */
export const schema = z.object({
  ...baseSchema.shape,
  ...deviceSettings,
  /** Threads of a measurement whose request sets none. */
  LATHE_PROFILING_THREADS: integer(1, 256)
    .refine((threads) => threads <= availableCores(), {
      error: () => `must be at most ${availableCores()}, the logical cores of this process`,
    })
    .default(1),
  /** Whether the services that compute on the same machine stand still during a measurement. */
  LATHE_PROFILING_ALONE: flag().default(true),
  /** A worker that is silent for longer counts as dead, and its work goes to another. */
  LATHE_LEASE: duration(1_000, 3_600_000).default(60_000),
});
