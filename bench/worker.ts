import { accuracy } from "./accuracy";
import { serveWorker } from "../shared/process/worker";
import { cores } from "./cores";
import type { MeasuredJob, Measurement } from "./measurement";
import { retrain } from "./retrain";
import { search } from "./search";
import { firstStep } from "./startup";
import { step } from "./step";

const JOBS = { step, search, retrain, cores, accuracy, firstStep };

serveWorker<MeasuredJob, never, Measurement[], void>(({ name, args }) => JOBS[name](args));
