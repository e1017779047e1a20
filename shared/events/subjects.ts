import { LatheError } from "../process/errors";

/** All names of streams, buckets, subjects and durables. No other file spells them. */
export const EVENTS_STREAM = "EVENTS";
export const WORK_STREAM = "WORK";
/** Messages that no consumer can handle, each with the cause (deadLetters.ts). */
export const DEAD_LETTERS_STREAM = "DEADLETTERS";
export const SEARCHES_BUCKET = "SEARCHES";
/** The fields by which ListSearches orders and filters, so that it reads the records of one page only. */
export const LISTING_BUCKET = "LISTING";
/** The attempts of each work item that have begun without progress since (attempts.ts). */
export const HANDBACKS_BUCKET = "HANDBACKS";
/** The search that each request id has started. */
export const REQUESTS_BUCKET = "REQUESTS";
/** Times of the calibration network on quiet devices, and of models in its units (services/latency: references.ts, fragments.ts). */
export const MEASUREMENTS_BUCKET = "MEASUREMENTS";
/** The latency workers that are alive. Each entry lapses unless its worker writes it again (presence.ts). */
export const DEVICES_BUCKET = "DEVICES";
export const CHECKPOINTS_BUCKET = "CHECKPOINTS";
export const ARTIFACTS_BUCKET = "ARTIFACTS";

export type ObjectBucket = typeof CHECKPOINTS_BUCKET | typeof ARTIFACTS_BUCKET;
export const OBJECT_BUCKETS: readonly ObjectBucket[] = [CHECKPOINTS_BUCKET, ARTIFACTS_BUCKET];
/** The buckets whose records stay until they are removed. */
export const RECORD_BUCKETS: readonly string[] = [
  ...[SEARCHES_BUCKET, LISTING_BUCKET, HANDBACKS_BUCKET, REQUESTS_BUCKET],
  MEASUREMENTS_BUCKET,
];

/** Messages of the services to each other about room in the store; not stored. */
export const STORAGE_SUBJECT = "lathe.storage";

/** Messages of latency workers and of services that compute to each other on one machine (alone.ts, standStill.ts); not stored. */
export const measuringSubject = (machine: string) => `lathe.machine.${token("machine", machine)}.measuring`;
export const standingSubject = (machine: string) => `lathe.machine.${token("machine", machine)}.standing`;

/** Every event of every search: the subjects of the stream, and the filter of a consumer of all events. */
export const ALL_EVENTS = "lathe.events.>";
export const ALL_WORK = "lathe.work.>";
export const ALL_DEAD_LETTERS = "lathe.deadletters.>";

/** Durable consumers, one per service and purpose. */
export const DURABLES = {
  search: "search-projection",
  shrinking: "shrinking-decisions",
  resumptions: "shrinking-resumptions",
} as const;

export type WorkKind = "train" | "derive" | "keep" | "retrain" | "profile";

/** The kinds whose items any worker may take. Items of "profile" are for the workers of one device class. */
export const PLAIN_KINDS = ["train", "derive", "keep", "retrain"] as const satisfies readonly WorkKind[];

/** Whether a text may be a token of a subject: 1 to 64 of a-z, 0-9 and -, not beginning with -. Search ids are such tokens. */
export const isToken = (text: string) => /^[a-z0-9][a-z0-9-]{0,63}$/.test(text);

const token = (what: string, value: string) => {
  if (!isToken(value)) {
    throw new LatheError(
      "INVALID_ARGUMENT",
      `${what} is "${value}", must be 1 to 64 of a-z, 0-9 and -, and not begin with -`,
    );
  }
  return value;
};

/** lathe.events.<search id>.<event>; event names carry dots of their own. */
export function eventSubject(searchId: string, event: string): string {
  return `lathe.events.${token("search id", searchId)}.${event}`;
}

/** Filter for one event of every search; "*" is one token, so "epoch.completed" does not match "retraining.epoch.completed". */
export function eventFilter(event: string): string {
  return `lathe.events.*.${event}`;
}

/** Filter for every event of one search. */
export function searchFilter(searchId: string): string {
  return `lathe.events.${token("search id", searchId)}.>`;
}

/** lathe.deadletters.<stream>: the dead letters that come from a stream. */
export const deadLetterSubject = (stream: string) => `lathe.deadletters.${stream}`;

/** Search id and event of a subject made by eventSubject; undefined for any other. */
export function parseEventSubject(subject: string): { searchId: string; event: string } | undefined {
  const match = /^lathe\.events\.([^.]+)\.(.+)$/.exec(subject);
  return match && isToken(match[1]!) ? { searchId: match[1]!, event: match[2]! } : undefined;
}

const queueSubject = (kind: WorkKind, deviceClass?: string) =>
  kind === "profile" ? `lathe.work.profile.${token("device class", deviceClass ?? "")}` : `lathe.work.${kind}`;

/** lathe.work.train.<search id>, likewise derive, keep and retrain; lathe.work.profile.<device class>.<search id>. */
export function workSubject(searchId: string, kind: WorkKind, deviceClass?: string): string {
  return `${queueSubject(kind, deviceClass)}.${token("search id", searchId)}`;
}

/** Filter for the items of one queue. */
export function queueFilter(kind: WorkKind, deviceClass?: string): string {
  return `${queueSubject(kind, deviceClass)}.*`;
}

/** Filters that together match every item of one search, whatever its device class. */
export function workFilters(searchId: string): string[] {
  return [`lathe.work.*.${token("search id", searchId)}`, `lathe.work.profile.*.${searchId}`];
}

/** The search that the subject of an event or a work item names; undefined where it names none. */
export function searchOf(subject: string): string | undefined {
  const id = /^lathe\.work\.(?:profile\.)?[^.]+\.([^.]+)$/.exec(subject)?.[1];
  return id !== undefined && isToken(id) ? id : parseEventSubject(subject)?.searchId;
}

/** The one durable that all workers of a queue share. */
export function workDurable(kind: WorkKind, deviceClass?: string): string {
  return kind === "profile" ? `work-profile-${token("device class", deviceClass ?? "")}` : `work-${kind}`;
}

/** Progress of a worker between two events: core NATS, not stored. */
export function progressSubject(searchId: string): string {
  return `lathe.progress.${token("search id", searchId)}`;
}

/** `<search id>:<event>[:<ordinal>]`: CloudEvents id and Nats-Msg-Id in one. */
export function eventId(searchId: string, event: string, ordinal?: number | string): string {
  return ordinal === undefined ? `${searchId}:${event}` : `${searchId}:${event}:${ordinal}`;
}

/** `<search id>:<kind>:<ordinal>`, where the ordinal is the resumption or a word. */
export function workId(searchId: string, kind: WorkKind, ordinal: number | string): string {
  return `${searchId}:${kind}:${ordinal}`;
}

/** Layout of NATS key-value and object stores, so that the `nats` tool reads both. */
export const recordStream = (bucket: string) => `KV_${bucket}`;
export const recordSubject = (bucket: string, key: string) => `$KV.${bucket}.${key}`;
export const objectStream = (bucket: string) => `OBJ_${bucket}`;
export const chunkSubject = (bucket: string, nuid: string) => `$O.${bucket}.C.${nuid}`;
export const manifestSubject = (bucket: string, name: string) =>
  `$O.${bucket}.M.${name === ">" ? name : Buffer.from(name).toString("base64").replaceAll("+", "-").replaceAll("/", "_")}`;
