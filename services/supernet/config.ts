import { duration, integer } from "../../shared/process/config";
import { engineSchema } from "../../shared/service/engine";

/** Settings of the supernet service. */
export const schema = engineSchema({
  /** Mebibytes that the steps of a training may hold, of the machine or, on another provider than cpu, of its device; 0: the machine's memory, on a device no bound. */
  LATHE_TRAINING_MEMORY: integer(0, 2 ** 24).default(0),
  /** Silence after which a worker is taken for dead and its work goes to another. */
  LATHE_LEASE: duration(1_000, 3_600_000).default(60_000),
  /** Work items after which the process ends, also where none comes for longer than the lease; 0: it stays. For a Job of Kubernetes. */
  LATHE_JOBS: integer(0, 1000).default(0),
});
