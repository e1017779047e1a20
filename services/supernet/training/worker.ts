import "../../../shared/process/sourceMaps";
import { setDataAccess } from "../../../shared/data/access";
import { createEngine } from "../../../shared/engine/engine";
import { portOf, type Call, type Reply } from "../../../shared/process/port";
import { serveWorker } from "../../../shared/process/worker";
import { search } from "./algorithms/algorithms";
import { evaluateGenotype } from "./evaluate";
import type { Job, Outcome } from "./jobs";
import { estimateMemory } from "./memory";
import { measurePace } from "./pace";
import { NOTICES, type TrainingCalls } from "./port";
import { profileSteps } from "./profile";
import { retrain } from "./retrain";

/** The training process. Its memory and its crashes are its own, and a step may block its thread. */
serveWorker<Job, Call<TrainingCalls>, Outcome, Reply<TrainingCalls>>(async (job, context) => {
  setDataAccess(job.dataAccess);
  const engine = await createEngine(job.engine);
  const port = portOf<TrainingCalls>(context, NOTICES);
  switch (job.kind) {
    case "train":
      return { kind: "train", event: await search(engine, job.job, port) };
    case "retrain":
      return { kind: "retrain", event: await retrain(engine, job.job, port) };
    case "evaluate":
      return { kind: "evaluate", ...(await evaluateGenotype(engine, job.job, port.signal)) };
    case "estimate":
      return { kind: "estimate", estimate: await estimateMemory(job.engine, job.job) };
    case "pace":
      return { kind: "pace", pace: await measurePace(job.engine, job.job, port.signal) };
    case "profile":
      return { kind: "profile", report: await profileSteps(job.engine, job.job, port.signal) };
  }
});
