import { serveWorker } from "../shared/process/worker";
import type { Measurement } from "./measurement";
import { search } from "./search";
import { firstStep } from "./startup";
import { step } from "./step";

/** What is measured in a process of its own. */
export interface MeasuredJob {
  name: "step" | "search" | "firstStep";
  args: string[];
}

const JOBS = { step, search, firstStep };

serveWorker<MeasuredJob, never, Measurement[], void>(({ name, args }) => JOBS[name](args));
