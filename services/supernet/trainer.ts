import type { Bus } from "../../shared/events/bus";
import type { EventName, LatheEvent, StoredEvent } from "../../shared/events/catalog";
import { awaitEvent, readingNewest } from "../../shared/events/history";
import { Objects } from "../../shared/events/objects";
import { publishEvent, publishProgress } from "../../shared/events/publisher";
import type { Consumption } from "../../shared/events/pulls";
import type { Quota } from "../../shared/events/quota";
import { recordedData } from "../../shared/events/recordedData";
import { consumeWork, type WorkInHand } from "../../shared/events/searchWork";
import { alarmStop, type Over } from "../../shared/events/standing";
import { ARTIFACTS_BUCKET, CHECKPOINTS_BUCKET } from "../../shared/events/subjects";
import type { WorkItem } from "../../shared/events/work";
import { LatheError } from "../../shared/process/errors";
import type { Logger } from "../../shared/process/logger";
import { answerBy } from "../../shared/process/port";
import type { HealthAlarmRaised } from "../../shared/proto/lathe/v1/events";
import { HealthAlarmKind, type ArtifactRef } from "../../shared/proto/lathe/v1/result";
import { givenGenotype, isSampling, trainedApart } from "../../shared/spec/algorithm";
import { alarmReason } from "../../shared/spec/health";
import { resolve } from "../../shared/spec/resolve";
import { decisionOn, resumptionOf } from "./resumption";
import { trainingProcess, type JobSettings } from "./training/jobs";
import type { EpochDecision, StepProgress, TrainingCalls } from "./training/port";
import type { TrainingMetrics } from "./metrics";
import { publishedAsSpan } from "./traces";
import { bestOf } from "./training/algorithms/best";
import type { SearchJob } from "./training/algorithms/search";

/** The training in progress. */
interface TrainingStatus {
  searchId: string;
  phase: string;
  progress: StepProgress | undefined;
}

interface TrainerOptions extends JobSettings {
  bus: Bus;
  metrics: TrainingMetrics;
  logger: Logger;
  /** How long a decision of the shrinking service is awaited, in ms; 30 minutes. */
  decisionMs?: number;
}

/** A decision takes milliseconds. While the shrinking service is away for longer, the item goes back, so that others get their turn. */
const DECISION_MS = 30 * 60_000;

type TrainingKind = "train" | "retrain";
type CheckpointKind = "checkpoint" | "retraining-checkpoint";
type Raise = (alarm: HealthAlarmRaised) => Promise<void>;

/** Carries out work items in a training process, and connects that process to the bus. */
export class Trainer {
  readonly worker = trainingProcess();
  readonly settings: JobSettings;
  status: TrainingStatus | undefined;
  readonly checkpoints: Objects;
  readonly artifacts: Objects;
  private lastProgress = 0;
  /** Object of the newest published checkpoint, by search and kind. */
  private readonly newest = new Map<string, string>();

  constructor(private readonly options: TrainerOptions) {
    this.settings = { engine: options.engine, dataAccess: options.dataAccess };
    this.checkpoints = new Objects(options.bus, CHECKPOINTS_BUCKET);
    this.artifacts = new Objects(options.bus, ARTIFACTS_BUCKET);
  }

  /** Carries out one item, from the state in its search's history. */
  async carryOut(work: WorkItem<TrainingKind>, { history, signal, held, stop }: WorkInHand): Promise<void> {
    const { bus } = this.options;
    const { searchId, kind } = work;
    this.status = { searchId, phase: kind, progress: undefined };
    const ended = this.options.metrics.began();
    try {
      const raise = (alarm: HealthAlarmRaised) => this.raise(searchId, alarm, stop, held);
      const job = await readingNewest(bus, searchId, history, signal, (known) =>
        this.prepare(work, known, signal, raise),
      );
      const outcome = await this.worker.run(
        { ...this.settings, ...job },
        { signal, onMessage: answerBy(this.calls(work, signal, raise)) },
      );
      if (outcome.kind === "train" && outcome.event) await publishEvent(bus, searchId, outcome.event, { signal: held });
      if (outcome.kind === "retrain")
        await publishEvent(bus, searchId, { type: "network.trained", data: outcome.event }, { signal: held });
    } finally {
      this.status = undefined;
      ended();
      for (const each of ["checkpoint", "retraining-checkpoint"]) this.newest.delete(`${searchId}/${each}`);
    }
  }

  private async prepare(
    work: WorkItem<TrainingKind>,
    history: readonly StoredEvent[],
    signal: AbortSignal,
    raise: Raise,
  ) {
    const { searchId, data } = work;
    const found = resumptionOf(history);
    const known = recordedData(history);
    const recorded = known && { recorded: known };
    if (!data.spec) throw missing(work.id, "spec");
    const { spec } = resolve(data.spec);
    if ("genotype" in data) {
      if (!data.genotype) throw missing(work.id, "genotype");
      if (!data.weights && !givenGenotype(spec)) throw missing(work.id, "weights");
      const inherited = data.weights && (await this.artifacts.get(data.weights, signal));
      const ref = found.retraining?.checkpoint;
      const checkpoint = ref && (await this.newestCheckpoint(searchId, "retraining-checkpoint", ref, signal));
      return {
        kind: "retrain" as const,
        job: {
          ...{ spec, genotype: data.genotype, ...recorded },
          ...(inherited && { inherited }),
          ...(checkpoint && { checkpoint }),
        },
      };
    }
    if (!data.space) throw missing(work.id, "space");
    if (!data.costTable) throw missing(work.id, "cost_table");
    const job: SearchJob = { spec, space: data.space, table: data.costTable, ...recorded };
    if (isSampling(spec)) {
      const evaluated = found.candidates;
      job.candidate = data.candidate;
      // A choice among trained networks reads the last checkpoint of the best.
      const choice = trainedApart(spec) > 0 && data.candidate === 0;
      const trained = choice ? evaluated[bestOf(evaluated)]?.index : data.candidate;
      const ref = found.samplingEpochs.get(trained ?? 0)?.checkpoint;
      const checkpoint = ref && (await this.newestCheckpoint(searchId, "checkpoint", ref, signal));
      job.sampled = { ...(checkpoint && { checkpoint }), evaluated };
      if (choice) Object.assign(job.sampled, { seconds: found.samplingSeconds, datasets: datasetsIn(history) });
      // A change of the data is told once, whichever network is trained then.
      if (trainedApart(spec) > 0) job.toldOfData = history.some(toldOfData);
    }
    if (found.epoch) {
      const { number, checkpoint: ref, sequence, alarms } = found.epoch;
      this.options.logger.info("resuming", { searchId, epoch: number });
      const checkpoint = await this.newestCheckpoint(searchId, "checkpoint", ref, signal);
      job.resume = { checkpoint, ref, decision: await this.decision(searchId, number, sequence, signal) };
      // A trainer may have died after publishing an epoch and before its alarms. Publishing an alarm twice stores it once.
      for (const alarm of alarms) await raise(alarm);
      signal.throwIfAborted();
    }
    return { kind: "train" as const, job };
  }

  /** Handlers of the training process's calls for one item. */
  private calls(work: WorkItem<TrainingKind>, signal: AbortSignal, raise: Raise): TrainingCalls {
    const { searchId, kind } = work;
    const { bus, metrics, logger } = this.options;
    const checkpoint = kind === "train" ? "checkpoint" : "retraining-checkpoint";
    const put = (bucket: "checkpoints" | "artifacts", name: string, bytes: Uint8Array, mediaType: string) =>
      metrics.stored(bucket, bytes.length, () =>
        this[bucket].put(`${searchId}/${name}`, bytes, { kind: name, mediaType, signal }),
      );
    const apart = networkOf(work) > 0;
    const publish = (event: LatheEvent) =>
      publishedAsSpan(searchId, event, () => publishEvent(bus, searchId, event, { signal, apart }));
    return {
      progress: (progress) => this.progress(searchId, kind, progress),
      compiled: (steps) => logger.info("steps compiled", { searchId, ...steps }),
      store: (name, bytes, mediaType) => put("artifacts", name, bytes, mediaType),
      storeCheckpoint: (bytes) => put("checkpoints", checkpoint, bytes, "application/octet-stream"),
      completeEpoch: async (data) => {
        const { sequence } = await publish({ type: "epoch.completed", data });
        await this.forgetOlder(searchId, data.checkpoint, checkpoint);
        const decision = await this.decision(searchId, data.metrics?.epoch ?? 0, sequence, signal);
        for (const alarm of data.alarms) await raise(alarm);
        signal.throwIfAborted();
        return decision;
      },
      completeSamplingEpoch: async (data) => {
        await publish({ type: "sampling.epoch.completed", data });
        await this.forgetOlder(searchId, data.checkpoint, checkpoint);
      },
      completeRetrainingEpoch: async (data) => {
        await publish({ type: "retraining.epoch.completed", data });
        await this.forgetOlder(searchId, data.checkpoint, checkpoint);
      },
      completeCandidate: async (data) => void (await publish({ type: "candidate.evaluated", data })),
      raise: async (alarm) => {
        await raise(alarm);
        signal.throwIfAborted();
      },
    };
  }

  /** Publishes an alarm once and applies its policy at once: if the policy ends or pauses the search, no further step is taken. */
  private async raise(
    searchId: string,
    alarm: HealthAlarmRaised,
    stop: WorkInHand["stop"],
    held: AbortSignal,
  ): Promise<void> {
    const { bus, logger } = this.options;
    // Signal `held`: if one alarm of an epoch pauses the search, the alarms behind it must not wait for the resumption.
    const event: LatheEvent = { type: "health.alarm.raised", data: alarm };
    const { duplicate } = await publishEvent(bus, searchId, event, { signal: held });
    if (duplicate) return;
    const { kind, epoch, message } = alarm;
    logger.warn("health alarm", { searchId, kind: alarmReason(kind), epoch, message });
    const reason = alarmStop(alarm);
    if (reason) stop(new LatheError("CANCELLED", `search ${searchId}: ${event.type}`, { reason }));
  }

  /**
   * Waits for the shrinking service's decision on an epoch. `sequence` is that of the epoch's event. UNAVAILABLE (DECISION_OVERDUE) where
   * none comes in time.
   */
  private async decision(
    searchId: string,
    epoch: number,
    sequence: number,
    signal: AbortSignal,
  ): Promise<EpochDecision> {
    const { bus, decisionMs = DECISION_MS } = this.options;
    const isDecision = (event: StoredEvent) => decisionOn(epoch, event) !== undefined;
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(overdue(searchId, epoch, decisionMs)), decisionMs);
    const either = AbortSignal.any([signal, late.signal]);
    const stored = await awaitEvent(bus, searchId, sequence + 1, isDecision, either)
      .catch((error: unknown) => {
        throw late.signal.aborted && !signal.aborted ? late.signal.reason : error;
      })
      .finally(() => clearTimeout(timer));
    const decision = decisionOn(epoch, stored);
    if (!decision) throw new LatheError("INTERNAL", `event ${stored.sequence} is no decision on epoch ${epoch}`);
    return decision;
  }

  /** Removes what a training has stored for a search after its deletion. */
  async removeAll(searchId: string): Promise<void> {
    await this.checkpoints.deleteAll(searchId);
    await this.artifacts.deleteAll(searchId);
  }

  /** Reads the checkpoint from which a training resumes, and notes it as the newest of its kind. */
  private newestCheckpoint(searchId: string, kind: CheckpointKind, ref: ArtifactRef, signal: AbortSignal) {
    this.newest.set(`${searchId}/${kind}`, ref.object);
    return this.checkpoints.get(ref, signal);
  }

  /** Deletes the previous checkpoint once a newer one has been published: a training resumes only from its newest. */
  private async forgetOlder(searchId: string, newest: ArtifactRef | undefined, kind: CheckpointKind): Promise<void> {
    const key = `${searchId}/${kind}`;
    const older = this.newest.get(key);
    if (newest) this.newest.set(key, newest.object);
    if (!older || older === newest?.object) return;
    await this.checkpoints.delete(older).catch((error: unknown) => {
      this.options.logger.warn("an old checkpoint could not be deleted", { searchId, object: older, error });
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
}

function overdue(searchId: string, epoch: number, ms: number): LatheError {
  const text = `the shrinking service has not decided on epoch ${epoch} of search ${searchId} for ${ms / 1000} s: does it run?`;
  return new LatheError("UNAVAILABLE", text, { reason: "DECISION_OVERDUE" });
}

function missing(id: string, field: string): LatheError {
  return new LatheError("INVALID_ARGUMENT", `work item ${id} has no ${field}`, { reason: "WORK_INVALID" });
}

const OVER: Record<TrainingKind, Over> = {
  train: { "supernet.converged": "the supernet is trained", "architecture.derived": "the network is derived" },
  retrain: { "network.trained": "the network is trained" },
};

/** The data that the networks of a search of random were trained on, as far as their first epochs tell it. */
const datasetsIn = (history: readonly StoredEvent[]) =>
  history.flatMap(({ event }) => (event.type === "sampling.epoch.completed" ? (event.data.dataset ?? []) : []));

const toldOfData = ({ event }: StoredEvent): boolean =>
  event.type === "health.alarm.raised" &&
  event.data.kind === HealthAlarmKind.HEALTH_ALARM_KIND_DATA_CHANGED &&
  event.data.phase === "train";

/** The network that an item of algorithm random trains, from 1; 0 for every other item. */
const networkOf = ({ data }: WorkItem<TrainingKind>): number => ("candidate" in data ? data.candidate : 0);

function overOf(work: WorkItem<TrainingKind>): Over {
  const { kind } = work;
  const number = networkOf(work);
  const evaluated = { "candidate.evaluated": { why: `network ${number} is evaluated`, only: number } };
  return { ...OVER[kind], ...(number > 0 && evaluated) };
}

const MILESTONES: Record<TrainingKind, readonly EventName[]> = {
  train: ["epoch.completed", "sampling.epoch.completed", "candidate.evaluated"],
  retrain: ["retraining.epoch.completed"],
};

/** Takes the items of both queues one at a time: two trainings side by side would each take twice as long and need twice the memory. */
export function consume(bus: Bus, trainer: Trainer, leaseMs = 60_000, quota?: Quota): Promise<Consumption> {
  return consumeWork<TrainingKind>(bus, {
    queues: [{ kind: "train" }, { kind: "retrain" }],
    over: overOf,
    milestones: ({ kind }) => MILESTONES[kind],
    lane: (work) => networkOf(work) || undefined,
    handler: (work, inHand) => trainer.carryOut(work, inHand),
    onDeleted: (searchId) => trainer.removeAll(searchId),
    ackWaitMs: leaseMs,
    quota,
  });
}
