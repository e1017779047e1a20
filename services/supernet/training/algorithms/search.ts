import type { Engine } from "../../../../shared/engine/engine";
import type {
  ArchitectureDerived,
  CandidateEvaluated,
  SupernetConverged,
} from "../../../../shared/proto/lathe/v1/events";
import type { ArtifactRef, DatasetFigures } from "../../../../shared/proto/lathe/v1/result";
import type { CostTable, Genotype, SearchSpace } from "../../../../shared/proto/lathe/v1/space";
import type { ResolvedSpec } from "../../../../shared/spec/resolve";
import type { EpochDecision, TrainingPort } from "../port";

export interface SearchJob {
  spec: ResolvedSpec;
  space: SearchSpace;
  table: CostTable;
  /** The data of the search's first epoch; absent before its end. */
  recorded?: DatasetFigures;
  /** Newest checkpoint of an earlier run of this search, with the decision that followed it. */
  resume?: { checkpoint: Uint8Array; ref: ArtifactRef; decision: EpochDecision };
  /** Algorithm random: whether a change of the data has been told. */
  toldOfData?: boolean;
  /** Algorithm random: the network to train, from 1; 0: choose the best of the evaluated ones. */
  candidate?: number;
  /**
   * State of an earlier run of algorithm random or evolution: the newest checkpoint of what is trained, of the best network where one is chosen;
   * the networks evaluated; and for a choice the seconds of all epochs, and the data that networks were trained on.
   */
  sampled?: { checkpoint?: Uint8Array; evaluated: Candidate[]; seconds?: number; datasets?: DatasetFigures[] };
}

/** A network that a search by random or evolution has evaluated. */
export type Candidate = CandidateEvaluated & { genotype: Genotype };

/** Result of a search: a supernet from which the network is derived, or the network itself. */
export type SearchOutcome =
  { type: "supernet.converged"; data: SupernetConverged } | { type: "architecture.derived"; data: ArchitectureDerived };

/**
 * A search algorithm. All algorithms use the same data and the same budget (docs/algorithms.md). undefined: the training of a network apart, which
 * ends with its evaluation.
 */
export type Search = (engine: Engine, job: SearchJob, port: TrainingPort) => Promise<SearchOutcome | undefined>;

/** The batch sizes of a search by their field: its own, and that of the retraining that follows it. */
export function batchSizes({ training, retraining }: ResolvedSpec): Record<string, number> {
  return {
    "training.batch_size": training.batchSize,
    ...(retraining.epochs > 0 && { "retraining.batch_size": retraining.batchSize }),
  };
}
