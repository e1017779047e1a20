import type { Engine } from "../../../../shared/engine/engine";
import type { ArchitectureDerived, SupernetConverged } from "../../../../shared/proto/lathe/v1/events";
import type { TrainingPort } from "../port";
import type { SearchJob } from "./ssr/train";

/** How a search ends: with a supernet to cut the network out of, or with the network. */
export type SearchOutcome =
  { type: "supernet.converged"; data: SupernetConverged } | { type: "architecture.derived"; data: ArchitectureDerived };

/** A search algorithm: from a spec and its space to an outcome, over the same data and within the same budget (docs/algorithms.md). */
export type Search = (engine: Engine, job: SearchJob, port: TrainingPort) => Promise<SearchOutcome>;
