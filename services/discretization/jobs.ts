import type { EngineOptions } from "../../shared/engine/engine";
import type { ArchitectureDerived, SupernetConverged } from "../../shared/proto/lathe/v1/events";
import type { ArtifactRef } from "../../shared/proto/lathe/v1/result";
import type { CostTable } from "../../shared/proto/lathe/v1/space";
import type { ResolvedSpec } from "../../shared/spec/resolve";

/** A job of the deriving process. */
export interface Job {
  engine: EngineOptions;
  spec: ResolvedSpec;
  converged: SupernetConverged;
  /** The cost that the search aimed at. */
  table: CostTable;
  /** The supernet's final checkpoint. */
  checkpoint: Uint8Array;
}

/** A file to store; answered with where it is. */
export interface Message {
  kind: string;
  bytes: Uint8Array;
  mediaType: string;
}

export type Reply = ArtifactRef;

export type Outcome = ArchitectureDerived;
