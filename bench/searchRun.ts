import { LatheError } from "../shared/process/errors";
import type { EpochCompleted, SupernetConverged } from "../shared/proto/lathe/v1/events";
import type { ArtifactRef, EpochMetrics } from "../shared/proto/lathe/v1/result";
import type { Architecture } from "../shared/proto/lathe/v1/space";
import { answer } from "../services/shrinking/consumer";
import { decisionOn } from "../services/supernet/resumption";
import { trainSupernet } from "../services/supernet/training/algorithms/ssr/train";
import { type SearchJob } from "../services/supernet/training/algorithms/search";

/** An epoch of a search with its metrics and the architecture that it trained. */
export interface Epoch {
  metrics: EpochMetrics;
  architecture: Architecture;
}

interface Course {
  /** After each epoch, before its decision is applied. */
  completed: (epoch: Epoch) => Promise<void>;
  /** Each time that steps have been compiled. */
  compiled?: (formulation: string) => void;
}

/** Where a benchmark stores nothing. */
export const nowhere: ArtifactRef = { object: "", kind: "checkpoint", sizeBytes: 0, sha256: "", mediaType: "" };

/** Trains the supernet of a job with the real shrinks, without services: nothing is stored. */
export function runSearch(
  engine: Parameters<typeof trainSupernet>[0],
  job: SearchJob,
  { completed, compiled }: Course,
): Promise<SupernetConverged> {
  return trainSupernet(engine, job, {
    storeCheckpoint: () => Promise.resolve(nowhere),
    completeEpoch: async (event) => {
      const told = answer(event);
      const epoch = required(event);
      await completed(epoch);
      const number = epoch.metrics.epoch;
      const decision = decisionOn(number, { sequence: number, time: new Date(), searchId: "bench", event: told });
      if (!decision) throw new LatheError("INTERNAL", `${told.type} has no decision on epoch ${number}`);
      return decision;
    },
    raise: () => Promise.resolve(),
    progress: () => undefined,
    compiled: ({ formulation }) => compiled?.(formulation),
    signal: new AbortController().signal,
  });
}

function required({ metrics, architecture }: EpochCompleted): Epoch {
  if (metrics && architecture) return { metrics, architecture };
  throw new LatheError("INTERNAL", "an epoch has no metrics or no architecture");
}
