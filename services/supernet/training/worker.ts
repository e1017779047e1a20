import { createEngine } from "../../../shared/engine/engine";
import { serveWorker } from "../../../shared/process/worker";
import type { ArtifactRef } from "../../../shared/proto/lathe/v1/result";
import { search } from "./algorithms/algorithms";
import { evaluateGenotype } from "./evaluate";
import type { Job, Message, Outcome, Reply } from "./jobs";
import type { StepProgress } from "./progress";
import { estimateMemory } from "./memory";
import { profileSteps } from "./profile";
import { retrain } from "./retrain";
import type { Decision } from "./algorithms/ssr/train";

/** The training process: its own memory, its own crash, and a thread that a step may block. */
serveWorker<Job, Message, Outcome, Reply>(async (job, context) => {
  const engine = await createEngine(job.engine);
  const { signal } = context;
  const progress = (step: StepProgress) => context.send({ type: "progress", progress: step });
  const ask = async <T extends Reply>(message: Message) => (await context.request(message)) as T;
  const store = (bucket: "checkpoints" | "artifacts", kind: string, bytes: Uint8Array, mediaType: string) =>
    ask<ArtifactRef>({ type: "store", bucket, kind, bytes, mediaType });
  switch (job.kind) {
    case "train": {
      const event = await search(engine, job.job, {
        storeCheckpoint: (bytes) => store("checkpoints", "checkpoint", bytes, "application/octet-stream"),
        store: (kind, bytes, mediaType) => store("artifacts", kind, bytes, mediaType),
        completeEpoch: (epoch) => ask<Decision>({ type: "epoch", event: epoch }),
        completeSamplingEpoch: async (epoch) => void (await context.request({ type: "sampling-epoch", event: epoch })),
        evaluated: async (candidate) => void (await context.request({ type: "candidate", event: candidate })),
        raise: async (alarm) => void (await context.request({ type: "alarm", alarm })),
        progress,
        compiled: (steps) => context.send({ type: "compiled", steps }),
        signal,
      });
      return { kind: "train", event };
    }
    case "retrain": {
      const event = await retrain(engine, job.job, {
        storeCheckpoint: (bytes) => store("checkpoints", "retraining-checkpoint", bytes, "application/octet-stream"),
        store: (kind, bytes, mediaType) => store("artifacts", kind, bytes, mediaType),
        completeEpoch: async (epoch) => void (await context.request({ type: "retraining-epoch", event: epoch })),
        progress,
        signal,
      });
      return { kind: "retrain", event };
    }
    case "evaluate":
      return { kind: "evaluate", ...(await evaluateGenotype(engine, job.job, signal)) };
    case "estimate":
      return { kind: "estimate", estimate: await estimateMemory(job.engine, job.job) };
    case "profile":
      return { kind: "profile", report: await profileSteps(job.engine, job.job, signal) };
  }
});
