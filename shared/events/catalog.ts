import {
  ArchitectureChosen,
  ArchitectureDerived,
  ArchitectureMeasured,
  ArchitectureRepaired,
  CandidateEvaluated,
  DeriveWork,
  DeviceAvailabilityChanged,
  EpochCompleted,
  HealthAlarmRaised,
  KeepWork,
  NetworkKept,
  NetworkProfiled,
  NetworkTrained,
  OperatorsProfiled,
  ProfileWork,
  RetrainWork,
  RetrainingEpochCompleted,
  SamplingEpochCompleted,
  SearchBranched,
  SearchCancelled,
  SearchCreated,
  SearchFailed,
  SearchPaused,
  SearchResumed,
  SearchSucceeded,
  SpaceKept,
  SpaceShrunk,
  SupernetConverged,
  TrainWork,
  WorkFailed,
} from "../proto/lathe/v1/events";
import { HealthAlarmKind } from "../proto/lathe/v1/result";
import type { WatchSearchResponse } from "../proto/lathe/v1/search";

/** proto3 JSON of one message, both ways (a generated message is one). */
export interface JsonCodec<T> {
  fromJSON(object: unknown): T;
  toJSON(message: T): unknown;
}

/** A generated message, with its binary form too. */
export interface Message<T> extends JsonCodec<T> {
  encode(message: T): { finish(): Uint8Array };
}

type WatchCase = NonNullable<WatchSearchResponse["event"]>["$case"];

/**
 * One row: the message, its case in WatchSearchResponse, the number that distinguishes events of this name within a search, and the lane.
 * Events of one name are stored in the order of their numbers, or where they have lanes, those of one lane: several workers may publish them.
 */
const row = <T, C extends WatchCase>(
  message: Message<T>,
  watchCase: C,
  ordinal?: (data: T) => number,
  lane?: (data: T) => number,
) => ({
  message,
  watchCase,
  ordinal: ordinal as ((data: never) => number) | undefined,
  lane: lane as ((data: never) => number) | undefined,
});

const candidateOf = ({ candidate }: SamplingEpochCompleted) => candidate;
const indexOf = ({ index }: CandidateEvaluated) => index;

/** Every event of the stream: name <-> message of events.proto <-> case of WatchSearchResponse. */
export const EVENTS = {
  "search.created": row(SearchCreated, "searchCreated"),
  "search.branched": row(SearchBranched, "searchBranched", (data) => data.number),
  "search.paused": row(SearchPaused, "searchPaused"),
  "search.resumed": row(SearchResumed, "searchResumed", (data) => data.resumption),
  "search.cancelled": row(SearchCancelled, "searchCancelled"),
  "device.availability.changed": row(DeviceAvailabilityChanged, "deviceAvailabilityChanged", (data) => data.number),
  "network.kept": row(NetworkKept, "networkKept"),
  "search.failed": row(SearchFailed, "searchFailed", (data) => data.resumption),
  "search.succeeded": row(SearchSucceeded, "searchSucceeded"),
  "operators.profiled": row(OperatorsProfiled, "operatorsProfiled"),
  "epoch.completed": row(EpochCompleted, "epochCompleted", (data) => data.metrics?.epoch ?? 0),
  "space.shrunk": row(SpaceShrunk, "spaceShrunk", (data) => data.epoch),
  "space.kept": row(SpaceKept, "spaceKept", (data) => data.epoch),
  // Kinds and dimensions are below 10, and an epoch publishes its alarms in this order. Kind 10, on labels, comes before the first epoch.
  // The alarm on changed data comes before the other alarms of its epoch; that of a retraining comes after all of the search.
  "health.alarm.raised": row(HealthAlarmRaised, "healthAlarmRaised", ({ epoch, kind, dimension, phase }) =>
    kind === HealthAlarmKind.HEALTH_ALARM_KIND_DATA_CHANGED
      ? (phase === "retrain" ? 1e9 : 0) + 100 * epoch + 1
      : 100 * epoch + 10 * kind + dimension,
  ),
  "supernet.converged": row(SupernetConverged, "supernetConverged"),
  "sampling.epoch.completed": row(SamplingEpochCompleted, "samplingEpochCompleted", (data) => data.epoch, candidateOf),
  "candidate.evaluated": row(CandidateEvaluated, "candidateEvaluated", indexOf, indexOf),
  "architecture.derived": row(ArchitectureDerived, "architectureDerived"),
  "architecture.measured": row(ArchitectureMeasured, "architectureMeasured", (data) => data.number),
  "architecture.repaired": row(ArchitectureRepaired, "architectureRepaired", (data) => data.number),
  "architecture.chosen": row(ArchitectureChosen, "architectureChosen"),
  "retraining.epoch.completed": row(RetrainingEpochCompleted, "retrainingEpochCompleted", (data) => data.epoch),
  "network.trained": row(NetworkTrained, "networkTrained"),
  "network.profiled": row(NetworkProfiled, "networkProfiled"),
  "work.failed": row(WorkFailed, "workFailed", (data) => data.resumption),
} as const;

export type EventName = keyof typeof EVENTS;
export type EventData<N extends EventName> = ReturnType<(typeof EVENTS)[N]["message"]["fromJSON"]>;

/** A fact about a search, by its name. */
export type LatheEvent = { [N in EventName]: { type: N; data: EventData<N> } }[EventName];

/** An event as the stream holds it. */
export interface StoredEvent {
  /** Position in the stream, which all searches share: ascending within a search, not contiguous. */
  sequence: number;
  time: Date;
  searchId: string;
  event: LatheEvent;
}

/** Every kind of work item and its message. */
export const WORK = {
  train: TrainWork,
  derive: DeriveWork,
  keep: KeepWork,
  retrain: RetrainWork,
  profile: ProfileWork,
} as const;
export type WorkData<K extends keyof typeof WORK> = ReturnType<(typeof WORK)[K]["fromJSON"]>;

export function isEventName(name: string): name is EventName {
  return Object.hasOwn(EVENTS, name);
}

/** The ordinal within its search that the event itself carries: epoch or resumption; undefined where it happens once. */
export function eventOrdinal(event: LatheEvent): number | undefined {
  return EVENTS[event.type].ordinal?.(event.data as never);
}

/** The lane of an event within its name; undefined where its name has none. */
export function eventLane(event: LatheEvent): number | undefined {
  return EVENTS[event.type].lane?.(event.data as never);
}

/** One response of WatchSearch. */
export function toWatchResponse(stored: StoredEvent): WatchSearchResponse {
  const event = { $case: EVENTS[stored.event.type].watchCase, value: stored.event.data };
  return { sequence: stored.sequence, time: stored.time, event: event as WatchSearchResponse["event"] };
}
