import { createEngine, type Engine } from "../../../../../shared/engine/engine";
import { decodeSupernet } from "../../../../../shared/network/checkpoint";
import type { EpochCompleted, SupernetConverged } from "../../../../../shared/proto/lathe/v1/events";
import type { ArtifactRef } from "../../../../../shared/proto/lathe/v1/result";
import type { SearchSpec } from "../../../../../shared/proto/lathe/v1/spec";
import { macsTable } from "../../../../../shared/space/cost";
import { resolve } from "../../../../../shared/spec/resolve";
import { decideAll, halve } from "../../../../../shared/testing/training";
import type { CompiledSteps, EpochDecision, TrainingPort } from "../../port";
import { type SearchJob } from "../search";
import { trainSupernet } from "./train";

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine({ engine: "onnxruntime", provider: "cpu", threads: 1 });
});

export type Decide = (epoch: number, event: EpochCompleted) => EpochDecision;

export interface Run {
  event: SupernetConverged;
  epochs: EpochCompleted[];
  checkpoints: Uint8Array[];
  decisions: EpochDecision[];
  compiled: CompiledSteps[];
}

export const ref = (object: string): ArtifactRef => ({
  object,
  kind: "checkpoint",
  sizeBytes: 0,
  sha256: "",
  mediaType: "",
});

/** Trains a supernet as a worker does; `decide` stands for the shrinking service. */
export async function train(
  asked: SearchSpec,
  decide: Decide,
  { resume, ...port }: Partial<TrainingPort> & Pick<SearchJob, "resume"> = {},
): Promise<Run> {
  const { spec, space } = resolve(asked);
  const [epochs, checkpoints, decisions]: [EpochCompleted[], Uint8Array[], EpochDecision[]] = [[], [], []];
  const compiled: CompiledSteps[] = [];
  const event = await trainSupernet(
    engine,
    { spec, space, table: macsTable(space), ...(resume && { resume }) },
    {
      storeCheckpoint: (bytes) => {
        checkpoints.push(bytes);
        return Promise.resolve(ref(`c${decodeSupernet(space, bytes, "checkpoint").record.epoch}`));
      },
      completeEpoch: (completed) => {
        epochs.push(completed);
        const decision = decide(completed.metrics!.epoch, completed);
        decisions.push(decision);
        return Promise.resolve(decision);
      },
      raise: () => Promise.resolve(),
      progress: () => undefined,
      compiled: (steps) => compiled.push(steps),
      signal: new AbortController().signal,
      ...port,
    },
  );
  return { event, epochs, checkpoints, decisions, compiled };
}

export const open: EpochDecision = { converged: false, byBudget: false };
/** Decides all groups, as after the last epoch. */
export const atBudgetEnd: Decide = (_epoch, { architecture, space }) => ({
  architecture: decideAll(space!, architecture!),
  converged: true,
  byBudget: true,
});

/** Halves the candidates after the first epoch and decides all groups after the second; the third epoch trains weights only. */
export const byShrinking: Decide = (epoch, { architecture, space }) => {
  if (epoch === 1) return { architecture: halve(space!, architecture!, 1), converged: false, byBudget: false };
  if (epoch === 2) return { architecture: decideAll(space!, architecture!), converged: true, byBudget: false };
  return { converged: true, byBudget: false };
};
