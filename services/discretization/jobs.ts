import type { DataAccess } from "../../shared/data/access";
import type { EngineOptions } from "../../shared/engine/engine";
import { computingEnvironment } from "../../shared/engine/native";
import type { ModelEvaluation, ModelOnData } from "../../shared/evaluation/evaluateOn";
import type { NetworkOrigin } from "../../shared/network/deploy";
import type { Head } from "../../shared/space/head";
import type { Store } from "../../shared/network/export";
import type { Call, Reply } from "../../shared/process/port";
import { startWorker, type Worker } from "../../shared/process/worker";
import type {
  ArchitectureDerived,
  ArchitectureRepaired,
  NetworkKept,
  RepairAim,
  SupernetConverged,
} from "../../shared/proto/lathe/v1/events";
import type { DatasetFigures } from "../../shared/proto/lathe/v1/result";
import type { CostTable, Genotype, SearchSpace } from "../../shared/proto/lathe/v1/space";
import type { ResolvedSpec } from "../../shared/spec/resolve";

export interface DeriveJob {
  engine: EngineOptions;
  /** How the process reads data sets; undefined: from any folder, and it keeps nothing. */
  dataAccess?: DataAccess | undefined;
  spec: ResolvedSpec;
  supernet: TrainedSupernet;
  /** The cost that the search aimed at. */
  table: CostTable;
  /** The supernet's checkpoint. */
  checkpoint: Uint8Array;
  /** The data of the search's first epoch; absent before its end. */
  recorded?: DatasetFigures;
}

/** A supernet from which a network is cut: its space, what is left of it, and how that was decided. */
export type TrainedSupernet = Pick<SupernetConverged, "space" | "architecture" | "decidedBy" | "checkpoint">;

export interface RepairJob {
  engine: EngineOptions;
  /** As DeriveJob.dataAccess. */
  dataAccess?: DataAccess | undefined;
  spec: ResolvedSpec;
  space: SearchSpace;
  table: CostTable;
  aim: RepairAim;
  /** The newest network, and its stored weights. */
  genotype: Genotype;
  weights: Uint8Array;
  /** Object of the weights, for errors. */
  object: string;
}

export interface KeepJob {
  /** As DeriveJob.dataAccess. */
  dataAccess?: DataAccess | undefined;
  spec: ResolvedSpec;
  genotype: Genotype;
  /** Checkpoint of retraining, or of algorithm random. */
  checkpoint: Uint8Array;
  /** Algorithm random: the network to keep, as CandidateEvaluated.index; absent: the best epoch of a retraining. */
  candidate?: number;
}

/** A network that was trained by itself, taken out of a checkpoint. */
export type Taken = Pick<NetworkKept, "epoch" | "validationMiou" | "figures" | "onnx" | "weights"> &
  Partial<Pick<NetworkKept, "deploy">>;

/** The head of the networks that retraining trains. */
export const retrainingHead = ({
  retraining: { pyramidChannels, dropout },
}: Pick<ResolvedSpec, "retraining">): Head => ({ kind: "aggregation", pyramidChannels, dropout });

export interface ExportJob {
  /** The genotype with the input size to export. */
  genotype: Genotype;
  head: Head;
  /** The stored ONNX file, for its class names, and the stored weights. */
  onnx: Uint8Array;
  weights: Uint8Array;
  /** Object of the weights, for errors. */
  object: string;
  /** Set for the deploy form: what its metadata say beside the class names and the licence, which `onnx` has. */
  deploy?: DeployOrigin;
}

interface DeployOrigin extends Pick<NetworkOrigin, "search" | "validationMiou"> {
  /** The stored deploy form of another size, for its colours. */
  stored?: Uint8Array;
}

export interface EvaluateJob extends ModelOnData {
  /** As DeriveJob.dataAccess. */
  dataAccess?: DataAccess | undefined;
}

/** The calls of a job to its parent. */
export interface JobCalls extends Store {
  /** A notice: images that an evaluation has compared, or networks that a repair has. */
  progress(done: number, of: number): void;
}

/** A job of the child process, which ends after one job. */
export type Job =
  | { kind: "derive"; job: DeriveJob }
  | { kind: "repair"; job: RepairJob }
  | { kind: "keep"; job: KeepJob }
  | { kind: "export"; job: ExportJob }
  | { kind: "evaluate"; job: EvaluateJob };

export type Outcome =
  | { kind: "derive"; event: ArchitectureDerived }
  | { kind: "repair"; event: ArchitectureRepaired }
  | { kind: "keep"; taken: Taken }
  | { kind: "export"; onnx: Uint8Array }
  | { kind: "evaluate"; evaluation: ModelEvaluation };

/** Nothing of a job that is aborted is kept, so its process gets little time to end by itself. */
const GRACE_MS = 2000;

/** Runs jobs, each in a child process of its own, which alone loads TensorFlow.js and ONNX Runtime. */
export function discretizationProcess(): Worker<Job, Call<JobCalls>, Outcome, Reply<JobCalls>> {
  return startWorker({ dir: __dirname, name: "worker", graceMs: GRACE_MS, env: computingEnvironment() });
}
