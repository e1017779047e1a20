import type { Engine } from "../../../../shared/engine/engine";
import type {
  ArchitectureDerived,
  CandidateEvaluated,
  SupernetConverged,
} from "../../../../shared/proto/lathe/v1/events";
import type { ArtifactRef } from "../../../../shared/proto/lathe/v1/result";
import type { CostTable, Genotype, SearchSpace } from "../../../../shared/proto/lathe/v1/space";
import type { ResolvedSpec } from "../../../../shared/spec/resolve";
import type { Decision, TrainingPort } from "../port";

export interface SearchJob {
  spec: ResolvedSpec;
  space: SearchSpace;
  table: CostTable;
  /** Newest checkpoint of an earlier run of this search, with the decision that followed it. */
  resume?: { checkpoint: Uint8Array; ref: ArtifactRef; decision: Decision };
  /** What an earlier run of algorithm random or evolution has published: its newest checkpoint, and the networks that it evaluated. */
  sampled?: { checkpoint?: Uint8Array; evaluated: Candidate[] };
}

/** A network of a search by random or evolution, with its figure. */
export type Candidate = CandidateEvaluated & { genotype: Genotype };

/** How a search ends: with a supernet to cut the network out of, or with the network. */
export type SearchOutcome =
  { type: "supernet.converged"; data: SupernetConverged } | { type: "architecture.derived"; data: ArchitectureDerived };

/** A search algorithm: from a spec and its space to an outcome, over the same data and within the same budget (docs/algorithms.md). */
export type Search = (engine: Engine, job: SearchJob, port: TrainingPort) => Promise<SearchOutcome>;
