import type { EngineOptions } from "../../shared/engine/engine";
import type { Bus } from "../../shared/events/bus";
import type { LatheEvent, StoredEvent } from "../../shared/events/catalog";
import { awaitEvent, historyOnce, replay } from "../../shared/events/history";
import { Objects } from "../../shared/events/objects";
import { publishEvent, publishProgress } from "../../shared/events/publisher";
import { ARTIFACTS_BUCKET, CHECKPOINTS_BUCKET } from "../../shared/events/subjects";
import type { WorkItem, WorkOutcome } from "../../shared/events/work";
import { LatheError } from "../../shared/process/errors";
import type { Logger } from "../../shared/process/logger";
import type { HealthAlarmRaised } from "../../shared/proto/lathe/v1/events";
import type { ArtifactRef } from "../../shared/proto/lathe/v1/result";
import { givenGenotype, isSampling } from "../../shared/spec/algorithm";
import { alarmReason } from "../../shared/spec/health";
import { resolve } from "../../shared/spec/resolve";
import { trainingProcess, type Message, type Reply } from "./jobs";
import type { StepProgress } from "./progress";
import type { TrainingMetrics } from "./metrics";
import { decisionOn, situation, stopOf, stopsWorker } from "./situation";
import { publishedAsSpan } from "./traces";
import type { Decision, SearchJob } from "./train";

/** What the training process is doing now. */
interface TrainingStatus {
  searchId: string;
  phase: string;
  progress: StepProgress | undefined;
}

interface TrainerOptions {
  bus: Bus;
  engine: EngineOptions;
  metrics: TrainingMetrics;
  logger: Logger;
}

type TrainingKind = "train" | "retrain";
type CheckpointKind = "checkpoint" | "retraining-checkpoint";
type Raise = (alarm: HealthAlarmRaised) => Promise<void>;

/** Carries out work items in a training process, and speaks with the bus for it. */
export class Trainer {
  readonly worker = trainingProcess();
  status: TrainingStatus | undefined;
  readonly checkpoints: Objects;
  readonly artifacts: Objects;
  private lastProgress = 0;
  private busy: Promise<void> = Promise.resolve();
  /** Newest checkpoint told of, by search and kind, of the item in hand. */
  private readonly newest = new Map<string, string>();

  constructor(private readonly options: TrainerOptions) {
    this.checkpoints = new Objects(options.bus, CHECKPOINTS_BUCKET);
    this.artifacts = new Objects(options.bus, ARTIFACTS_BUCKET);
  }

  /**
   * Carries out one item from where its search stands; "done" also where the search no longer wants it. One at a time: two trainings
   * would halve each other and double the memory.
   */
  async carryOut(work: WorkItem<TrainingKind>, signal: AbortSignal): Promise<WorkOutcome> {
    const before = this.busy;
    const mine = before.then(() => this.carryOutNow(work, signal));
    this.busy = mine.then(noop, noop);
    return mine;
  }

  private async carryOutNow(work: WorkItem<TrainingKind>, signal: AbortSignal): Promise<WorkOutcome> {
    signal.throwIfAborted();
    const { bus, logger } = this.options;
    const { searchId, kind } = work;
    const history = await historyOnce(bus, searchId, 0, signal);
    const found = situation(history, kind, work.data.resumption);
    if (found.skip) {
      logger.info("work item skipped", { searchId, kind, why: found.skip });
      return "done";
    }
    const watch = new AbortController();
    const stop = AbortSignal.any([signal, watch.signal]);
    const watching = this.watch(searchId, found.sequence + 1, watch, signal);
    this.status = { searchId, phase: kind, progress: undefined };
    const ended = this.options.metrics.began();
    try {
      const raise = (alarm: HealthAlarmRaised) => this.raise(searchId, alarm, watch, signal);
      const job = await this.prepare(work, history, stop, raise);
      const outcome = await this.worker.run(
        { engine: this.options.engine, ...job },
        { signal: stop, onMessage: (message) => this.answer(searchId, kind, message, stop, raise) },
      );
      if (outcome.kind === "train") await publishEvent(bus, searchId, outcome.event, { signal });
      if (outcome.kind === "retrain")
        await publishEvent(bus, searchId, { type: "network.trained", data: outcome.event }, { signal });
      return "done";
    } catch (error) {
      if (!watch.signal.aborted || signal.aborted) throw error;
      const why = LatheError.from(watch.signal.reason);
      // The search does not want it any more. Any other fault of the watch, and the item must come again.
      if (why.code !== "CANCELLED") throw why;
      logger.info("work item stopped", { searchId, kind, why: why.reason });
      return "done";
    } finally {
      this.status = undefined;
      ended();
      for (const each of ["checkpoint", "retraining-checkpoint"]) this.newest.delete(`${searchId}/${each}`);
      watch.abort(new LatheError("CANCELLED", "the work item has ended", { reason: "WORK_ENDED" }));
      await watching;
    }
  }

  private async prepare(work: WorkItem<TrainingKind>, history: StoredEvent[], signal: AbortSignal, raise: Raise) {
    const { searchId, kind, data } = work;
    const found = situation(history, kind, data.resumption);
    if (!data.spec) throw missing(work.id, "spec");
    const { spec } = resolve(data.spec);
    if ("genotype" in data) {
      if (!data.genotype) throw missing(work.id, "genotype");
      if (!data.weights && !givenGenotype(spec)) throw missing(work.id, "weights");
      const inherited = data.weights && (await this.artifacts.get(data.weights.object, signal));
      const ref = found.retraining?.checkpoint;
      const checkpoint = ref && (await this.newestCheckpoint(searchId, "retraining-checkpoint", ref, signal));
      return {
        kind: "retrain" as const,
        job: { spec, genotype: data.genotype, ...(inherited && { inherited }), ...(checkpoint && { checkpoint }) },
      };
    }
    if (!data.space) throw missing(work.id, "space");
    if (!data.costTable) throw missing(work.id, "cost_table");
    const job: SearchJob = { spec, space: data.space, table: data.costTable };
    if (isSampling(spec)) {
      const ref = found.samplingEpoch?.checkpoint;
      const checkpoint = ref && (await this.newestCheckpoint(searchId, "checkpoint", ref, signal));
      job.sampled = { ...(checkpoint && { checkpoint }), evaluated: found.candidates };
    }
    if (found.epoch) {
      const { number, checkpoint: ref, sequence, alarms } = found.epoch;
      this.options.logger.info("resuming", { searchId, epoch: number });
      const checkpoint = await this.newestCheckpoint(searchId, "checkpoint", ref, signal);
      job.resume = { checkpoint, ref, decision: await this.decision(searchId, number, sequence, signal) };
      // A trainer that died between the epoch and its alarms has not told them; what is told already is told once.
      for (const alarm of alarms) await raise(alarm);
      signal.throwIfAborted();
    }
    return { kind: "train" as const, job };
  }

  private async answer(
    searchId: string,
    kind: TrainingKind,
    message: Message,
    signal: AbortSignal,
    raise: Raise,
  ): Promise<Reply> {
    const { bus, metrics, logger } = this.options;
    const tell = (event: LatheEvent) =>
      publishedAsSpan(searchId, event, () => publishEvent(bus, searchId, event, { signal }));
    switch (message.type) {
      case "progress":
        this.progress(searchId, kind, message.progress);
        return undefined;
      case "compiled":
        logger.info("steps compiled", { searchId, ...message.steps });
        return undefined;
      case "store":
        return metrics.stored(message.bucket, message.bytes.length, () =>
          this[message.bucket].put(`${searchId}/${message.kind}`, message.bytes, {
            kind: message.kind,
            mediaType: message.mediaType,
            signal,
          }),
        );
      case "epoch": {
        const { event } = message;
        const epoch = event.metrics?.epoch ?? 0;
        const { sequence } = await tell({ type: "epoch.completed", data: event });
        await this.forgetOlder(searchId, event.checkpoint, "checkpoint");
        const decision = await this.decision(searchId, epoch, sequence, signal);
        for (const alarm of event.alarms) await raise(alarm);
        signal.throwIfAborted();
        return decision;
      }
      case "alarm":
        await raise(message.alarm);
        signal.throwIfAborted();
        return undefined;
      case "sampling-epoch": {
        const { event } = message;
        await tell({ type: "sampling.epoch.completed", data: event });
        await this.forgetOlder(searchId, event.checkpoint, "checkpoint");
        return undefined;
      }
      case "candidate":
        await tell({ type: "candidate.evaluated", data: message.event });
        return undefined;
      case "retraining-epoch": {
        const { event } = message;
        await tell({ type: "retraining.epoch.completed", data: event });
        await this.forgetOlder(searchId, event.checkpoint, "retraining-checkpoint");
        return undefined;
      }
    }
  }

  /** Tells an alarm once. What it does by its policy begins with it here too: no further step is taken of a search that it has stopped. */
  private async raise(
    searchId: string,
    alarm: HealthAlarmRaised,
    stop: AbortController,
    signal: AbortSignal,
  ): Promise<void> {
    const { bus, logger } = this.options;
    // By the outer signal: the alarms of an epoch that come after one that pauses must not wait for the resumption.
    const { duplicate } = await publishEvent(bus, searchId, { type: "health.alarm.raised", data: alarm }, { signal });
    if (duplicate) return;
    const { kind, epoch, message } = alarm;
    logger.warn("health alarm", { searchId, kind: alarmReason(kind), epoch, message });
    const reason = stopOf(alarm);
    if (reason) stop.abort(new LatheError("CANCELLED", `search ${searchId}: health.alarm.raised`, { reason }));
  }

  /** What the shrinking service states on an epoch whose event stands at a sequence. */
  private async decision(searchId: string, epoch: number, sequence: number, signal: AbortSignal): Promise<Decision> {
    const stated = (event: StoredEvent) => decisionOn(epoch, event) !== undefined;
    const stored = await awaitEvent(this.options.bus, searchId, sequence + 1, stated, signal);
    const decision = decisionOn(epoch, stored);
    if (!decision) throw new LatheError("INTERNAL", `event ${stored.sequence} states no decision on epoch ${epoch}`);
    return decision;
  }

  /** The checkpoint from which a search goes on, noted as the newest of its kind. */
  private newestCheckpoint(searchId: string, kind: CheckpointKind, ref: ArtifactRef, signal: AbortSignal) {
    this.newest.set(`${searchId}/${kind}`, ref.object);
    return this.checkpoints.get(ref.object, signal);
  }

  /** Only the newest checkpoint is ever resumed from; the one before goes when the newer one is told of. */
  private async forgetOlder(searchId: string, newest: ArtifactRef | undefined, kind: CheckpointKind): Promise<void> {
    const key = `${searchId}/${kind}`;
    const older = this.newest.get(key);
    if (newest) this.newest.set(key, newest.object);
    if (!older || older === newest?.object) return;
    await this.checkpoints.delete(older).catch((error: unknown) => {
      this.options.logger.warn("an old checkpoint stays", { searchId, object: older, error });
    });
  }

  private progress(searchId: string, phase: TrainingKind, progress: StepProgress): void {
    this.status = { searchId, phase, progress };
    this.options.metrics.stepped(phase);
    const now = performance.now();
    if (now - this.lastProgress < 200 && progress.step < progress.steps) return;
    this.lastProgress = now;
    publishProgress(this.options.bus, searchId, { phase, ...progress });
  }

  /** Aborts the work when the search is paused, cancelled or failed meanwhile. */
  private async watch(searchId: string, from: number, stop: AbortController, signal: AbortSignal): Promise<void> {
    const ended = AbortSignal.any([signal, stop.signal]);
    try {
      for await (const stored of replay(this.options.bus, searchId, from, ended)) {
        const reason = stopsWorker(stored);
        if (reason) stop.abort(new LatheError("CANCELLED", `search ${searchId}: ${stored.event.type}`, { reason }));
      }
    } catch (error) {
      this.options.logger.error("events of the search cannot be followed", { searchId, error });
      stop.abort(LatheError.from(error));
    }
  }
}

const noop = () => undefined;

function missing(id: string, field: string): LatheError {
  return new LatheError("INVALID_ARGUMENT", `work item ${id} has no ${field}`, { reason: "WORK_INVALID" });
}
