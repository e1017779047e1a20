import type { DataAccess } from "../../../shared/data/access";
import type { EngineOptions } from "../../../shared/engine/engine";
import { computingEnvironment } from "../../../shared/engine/native";
import type { Call, Reply } from "../../../shared/process/port";
import { startWorker, type Worker } from "../../../shared/process/worker";
import type { NetworkTrained } from "../../../shared/proto/lathe/v1/events";
import type { DatasetFigures } from "../../../shared/proto/lathe/v1/result";
import type { Genotype, SearchSpace } from "../../../shared/proto/lathe/v1/space";
import type { ResolvedSpec } from "../../../shared/spec/resolve";
import type { SearchOutcome, SearchJob } from "./algorithms/search";
import type { MemoryEstimate } from "./memory";
import type { Pace } from "./pace";
import type { ProfileJob, ProfileReport } from "./profile";
import type { RetrainJob } from "./retrain";
import type { TrainingCalls } from "./port";

/** A job of the training process. The process ends after one job. */
export type Job = JobSettings &
  (
    | { kind: "train"; job: SearchJob }
    | { kind: "retrain"; job: RetrainJob }
    | { kind: "evaluate"; job: EvaluateJob }
    | { kind: "profile"; job: ProfileJob }
    | { kind: "pace"; job: ProfileJob }
    | { kind: "estimate"; job: Pick<SearchJob, "spec" | "space" | "table"> }
  );

/** The settings of the service that hold for every job. */
export interface JobSettings {
  engine: EngineOptions;
  /** How the process reads data sets; undefined: from any folder, and it keeps nothing. */
  dataAccess?: DataAccess | undefined;
}

export interface EvaluateJob {
  spec: ResolvedSpec;
  space: SearchSpace;
  checkpoint: Uint8Array;
  genotype: Genotype;
  /** The data of the search's first epoch; absent before its end. */
  recorded?: DatasetFigures;
}

export type Outcome =
  | { kind: "train"; event: SearchOutcome | undefined }
  | { kind: "retrain"; event: NetworkTrained }
  | { kind: "evaluate"; miou: number; miouClasses: number; loss: number; dataChange: string }
  | { kind: "profile"; report: ProfileReport }
  | { kind: "pace"; pace: Pace }
  | { kind: "estimate"; estimate: MemoryEstimate };

/** Puts the large buffers of a step into huge pages, which halves the time of a large step. glibc reads this when a process starts. */
const ENVIRONMENT = { GLIBC_TUNABLES: "glibc.malloc.hugetlb=1" };

/** Runs each job in a training process, whose entry is services/supernet/training/worker.ts. */
export function trainingProcess(): Worker<Job, Call<TrainingCalls>, Outcome, Reply<TrainingCalls>> {
  return startWorker({ dir: __dirname, name: "worker", env: { ...ENVIRONMENT, ...computingEnvironment() } });
}
