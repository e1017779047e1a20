import type { Engine } from "../../../shared/engine/engine";
import type { Store } from "../../../shared/network/export";
import { LatheError } from "../../../shared/process/errors";
import type {
  ArchitectureDerived,
  CandidateEvaluated,
  SamplingEpochCompleted,
  SupernetConverged,
} from "../../../shared/proto/lathe/v1/events";
import { AlgorithmKind } from "../../../shared/proto/lathe/v1/spec";
import { trainSupernet, type SearchJob, type TrainingPort } from "../train";
import { searchByEvolution } from "./evolution";
import { searchAtRandom } from "./random";

/** How a search ends: with a supernet to cut the network out of, or with the network. */
export type SearchOutcome =
  { type: "supernet.converged"; data: SupernetConverged } | { type: "architecture.derived"; data: ArchitectureDerived };

/** What a search asks of the outside; the last two are told by those that evaluate whole networks. */
export interface SearchPort extends TrainingPort, Store {
  completeSamplingEpoch(event: SamplingEpochCompleted): Promise<void>;
  evaluated(event: CandidateEvaluated): Promise<void>;
}

/** A search algorithm: from a spec and its space to an outcome, over the same data and within the same budget (docs/algorithms.md). */
export type Search = (engine: Engine, job: SearchJob, port: SearchPort) => Promise<SearchOutcome>;

const bySupernet: Search = async (engine, job, port) => ({
  type: "supernet.converged",
  data: await trainSupernet(engine, job, port),
});

const SEARCHES: ReadonlyMap<AlgorithmKind, Search> = new Map([
  [AlgorithmKind.ALGORITHM_KIND_SSR, bySupernet],
  [AlgorithmKind.ALGORITHM_KIND_DARTS, bySupernet],
  [AlgorithmKind.ALGORITHM_KIND_RANDOM, searchAtRandom],
  [AlgorithmKind.ALGORITHM_KIND_EVOLUTION, searchByEvolution],
]);

/** Carries out the search of a job by the algorithm that its spec names. */
export const search: Search = (engine, job, port) => {
  const { kind } = job.spec.algorithm;
  const found = SEARCHES.get(kind);
  if (!found) throw new LatheError("INVALID_ARGUMENT", `algorithm.kind ${AlgorithmKind[kind]} has nothing to search`);
  return found(engine, job, port);
};
