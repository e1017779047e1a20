import { createEngine } from "../../shared/engine/engine";
import { serveWorker } from "../../shared/process/worker";
import { deriveNetwork } from "./derive";
import type { Job, Message, Outcome, Reply } from "./jobs";

/** The deriving process: two evaluations block its thread, not the service's. */
serveWorker<Job, Message, Outcome, Reply>(async (job, { request, signal }) => {
  const engine = await createEngine(job.engine);
  return deriveNetwork(engine, job, { store: (kind, bytes, mediaType) => request({ kind, bytes, mediaType }), signal });
});
