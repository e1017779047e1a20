import "../../shared/process/sourceMaps";
import { serveWorker } from "../../shared/process/worker";
import { listDevices } from "./devices";
import type { Job, Outcomes } from "./profiler";
import { thisMachine } from "./machine";
import { measureNetwork } from "./network";
import { measureOperators } from "./operators";
import { withTimer } from "./timer";

/** The measuring process. A run blocks its thread, so the service answers calls in another process. */
serveWorker<Job, never, Outcomes[keyof Outcomes]>(async (job, { signal }) => {
  switch (job.kind) {
    case "devices":
      return listDevices(thisMachine, job.served, job.threads);
    case "network":
      return measureNetwork(job.subject, job.settings, signal);
    case "operators":
      return withTimer(job.settings, (timer) => measureOperators(job.operators, job.settings, timer, signal));
  }
});
