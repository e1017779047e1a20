import type { Engine } from "../../../../shared/engine/engine";
import type { Store } from "../../../../shared/network/export";
import type {
  ArchitectureDerived,
  CandidateEvaluated,
  SamplingEpochCompleted,
  SupernetConverged,
} from "../../../../shared/proto/lathe/v1/events";
import type { SearchJob, TrainingPort } from "./ssr/train";

/** How a search ends: with a supernet to cut the network out of, or with the network. */
export type SearchOutcome =
  { type: "supernet.converged"; data: SupernetConverged } | { type: "architecture.derived"; data: ArchitectureDerived };

/** What a search needs from outside. Only algorithms that evaluate whole networks call the last two. */
export interface SearchPort extends TrainingPort, Store {
  completeSamplingEpoch(event: SamplingEpochCompleted): Promise<void>;
  evaluated(event: CandidateEvaluated): Promise<void>;
}

/** A search algorithm: from a spec and its space to an outcome, over the same data and within the same budget (docs/algorithms.md). */
export type Search = (engine: Engine, job: SearchJob, port: SearchPort) => Promise<SearchOutcome>;
