import { LatheError } from "../../../../shared/process/errors";
import { AlgorithmKind } from "../../../../shared/proto/lathe/v1/spec";
import { trainSupernet } from "./ssr/train";
import { searchByEvolution } from "./evolution/evolution";
import { searchAtRandom } from "./random/random";
import type { Search } from "./search";

/** SSR and DARTS share one training. The spec of DARTS has no SSR and shrinks nothing before the last epoch (shared/spec/algorithm.ts). */
const bySupernet: Search = async (engine, job, port) => ({
  type: "supernet.converged",
  data: await trainSupernet(engine, job, port),
});

/** Kind "fixed" has no entry: its network is given, so the search begins with retraining (services/supernet/training/retrain.ts). */
const SEARCHES: ReadonlyMap<AlgorithmKind, Search> = new Map([
  [AlgorithmKind.ALGORITHM_KIND_SSR, bySupernet],
  [AlgorithmKind.ALGORITHM_KIND_DARTS, bySupernet],
  [AlgorithmKind.ALGORITHM_KIND_RANDOM, searchAtRandom],
  [AlgorithmKind.ALGORITHM_KIND_EVOLUTION, searchByEvolution],
]);

/** Runs the algorithm that the job's spec names. */
export const search: Search = (engine, job, port) => {
  const { kind } = job.spec.algorithm;
  const found = SEARCHES.get(kind);
  if (!found) throw new LatheError("INVALID_ARGUMENT", `algorithm.kind ${AlgorithmKind[kind]} has nothing to search`);
  return found(engine, job, port);
};
