import { z } from "zod";
import { baseSchema, duration, integer, oneOf } from "../../shared/process/config";
import { DEVICE_CLASSES } from "./devices";

/** Settings of the latency service. */
export const schema = z.object({
  ...baseSchema.shape,
  /** The device class that this worker measures on. It also names the worker's queue. */
  LATHE_DEVICE_CLASS: oneOf(DEVICE_CLASSES).default("cpu"),
  /** Threads of a measurement whose request sets none. */
  LATHE_PROFILING_THREADS: integer(1, 256).default(1),
  /** A worker that is silent for longer counts as dead, and its work goes to another. */
  LATHE_LEASE: duration(1_000, 3_600_000).default(60_000),
});
