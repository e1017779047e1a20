import "../../shared/process/sourceMaps";
import { portOf, type Call, type Notices, type Reply } from "../../shared/process/port";
import { serveWorker } from "../../shared/process/worker";
import { listDevices } from "./devices";
import type { Job, Outcomes } from "./profiler";
import { thisMachine } from "./machine";
import { measureNetwork } from "./network";
import { measureOperators } from "./operators";
import type { FragmentCalls } from "./ratios";
import { withTimer } from "./timer";

const NOTICES: Notices<FragmentCalls> = { progress: true };

/** The measuring process. A run blocks its thread, so the service answers calls in another process. */
serveWorker<Job, Call<FragmentCalls>, Outcomes[keyof Outcomes], Reply<FragmentCalls>>(async (job, context) => {
  const { signal } = context;
  switch (job.kind) {
    case "devices":
      return listDevices(thisMachine, job.served, job.threads);
    case "network":
      return measureNetwork(job.subject, job.settings, signal, job.quiet);
    case "operators":
      return withTimer(
        job.settings,
        (timer) =>
          measureOperators(job.operators, job.settings, timer, portOf<FragmentCalls>(context, NOTICES), signal),
        signal,
        job.quiet,
      );
  }
});
