import { duration, integer } from "../../shared/process/config";
import { engineSchema } from "../../shared/service/engine";

/** Settings of the supernet service. */
export const schema = engineSchema({
  /** Bound on the memory of a training's steps, in MiB of the machine or device. 0: the machine's memory; on a device what is free. */
  LATHE_TRAINING_MEMORY: integer(0, 2 ** 24).default(0),
  /** A worker that is silent for longer counts as dead, and its work goes to another. */
  LATHE_LEASE: duration(1_000, 3_600_000).default(60_000),
  /** Number of work items after which the process ends; it also ends when none arrives within the lease. 0: it does not end. For a Job. */
  LATHE_JOBS: integer(0, 1000).default(0),
});
