import type { TrainingProgressed } from "../proto/lathe/v1/events";
import { TrainingProgressed as ProgressMessage } from "../proto/lathe/v1/events";
import { eventLane, eventOrdinal, type LatheEvent, type WorkData } from "./catalog";
import type { Bus } from "./bus";
import { decodeEvent, encodeEvent, encodeWork, stringifyProtoJson } from "./envelope";
import { readStored } from "./history";
import { readMessage, store } from "./jetstream";
import { EVENTS_STREAM, eventId, eventSubject, progressSubject, workId, workSubject, type WorkKind } from "./subjects";
import { sending } from "./tracing";

interface PublishOptions {
  /** Distinguishes events of one name within a search; by default the epoch or resumption that the event carries. */
  ordinal?: number | string;
  /** Time of the event; now by default. */
  time?: Date;
  /** How long the request is repeated while NATS does not answer; 60 s. */
  retryForMs?: number;
  signal?: AbortSignal;
  /** Whether several workers publish events of this name at once, each those of a lane of its own (eventLane). */
  apart?: boolean;
}

interface Published {
  sequence: number;
  /** Whether the message was in the stream before, so that nothing was added. */
  duplicate: boolean;
}

/**
 * Stores an event once, however often it is called for the same search, name and ordinal: the message id detects a repetition within the
 * stream's window, the stored event a later one.
 */
export function publishEvent(
  bus: Bus,
  searchId: string,
  event: LatheEvent,
  options: PublishOptions = {},
): Promise<Published> {
  return sending(searchId, event.type, () => publishNow(bus, searchId, event, options));
}

async function publishNow(bus: Bus, searchId: string, event: LatheEvent, options: PublishOptions): Promise<Published> {
  const ordinal = options.ordinal ?? eventOrdinal(event);
  const id = eventId(searchId, event.type, ordinal);
  const subject = eventSubject(searchId, event.type);
  const request = { what: `event ${id}`, retryForMs: options.retryForMs ?? 60_000, signal: options.signal };
  // A worker that resumes after the window of message ids publishes events again that are stored already.
  const earlier = await readMessage(bus, EVENTS_STREAM, { last_by_subj: subject }, request);
  const newest = earlier && idOf(earlier.data, `${subject}#${earlier.sequence}`);
  if (earlier && (newest === id || (!options.apart && numberIn(newest ?? "") >= numberIn(id))))
    return { sequence: earlier.sequence, duplicate: true };
  const known = earlier && options.apart && (await sequenceInLane(bus, event, subject, request));
  if (known) return { sequence: known, duplicate: true };
  const data = encodeEvent(event, { id, searchId, source: bus.source, time: options.time ?? new Date() });
  return store(bus, subject, data, { ...request, msgId: id });
}

/** Sequence of a stored event of the same lane with the number of an event, or a later one; undefined where there is none. */
async function sequenceInLane(
  bus: Bus,
  event: LatheEvent,
  subject: string,
  request: Parameters<typeof readMessage>[3],
): Promise<number | undefined> {
  const [lane, number] = [eventLane(event), eventOrdinal(event) ?? 0];
  for (let seq = 1; ;) {
    const message = await readMessage(bus, EVENTS_STREAM, { seq, next_by_subj: subject }, request);
    if (!message) return undefined;
    const other = readStored(bus, message)?.event;
    if (other && eventLane(other) === lane && (eventOrdinal(other) ?? 0) >= number) return message.sequence;
    seq = message.sequence + 1;
  }
}

/** The id of a stored event; "" where it cannot be read. Such a message goes to the dead letters, and stands for no event. */
function idOf(data: Uint8Array, where: string): string {
  try {
    return decodeEvent(data, where).id;
  } catch {
    return "";
  }
}

/** The number of an event in its id. Events of one name, or of one lane, are published in their order: once 7 is stored, so is 5. */
const numberIn = (id: string): number => Number(/:(\d+)$/.exec(id)?.[1] ?? NaN);

export interface WorkRequest<K extends WorkKind> {
  searchId: string;
  kind: K;
  data: WorkData<K>;
  /** Distinguishes items of this kind within a search: the resumption, or a word ("operators", "network"). */
  ordinal: number | string;
  /** Only for profile items: the device class whose workers may take the item. */
  deviceClass?: string;
}

/**
 * Queues a work item. The same item within 10 minutes is a duplicate, even where the first is done. RESOURCE_EXHAUSTED where the queue is
 * full.
 */
export async function publishWork<K extends WorkKind>(
  bus: Bus,
  work: WorkRequest<K>,
  options: Omit<PublishOptions, "ordinal"> = {},
): Promise<Published> {
  const { searchId, kind, data, ordinal, deviceClass } = work;
  const id = workId(searchId, kind, ordinal);
  const bytes = encodeWork(kind, data, { id, searchId, source: bus.source, time: options.time ?? new Date() });
  return sending(searchId, `work ${kind}`, () =>
    store(bus, workSubject(searchId, kind, deviceClass), bytes, {
      what: `work item ${id}`,
      msgId: id,
      retryForMs: options.retryForMs ?? 60_000,
      signal: options.signal,
    }),
  );
}

/** Publishes the progress of a worker. The message is not stored, and is dropped while NATS cannot be reached. */
export function publishProgress(bus: Bus, searchId: string, progress: TrainingProgressed): void {
  if (!bus.status().connected) return;
  bus.connection.publish(progressSubject(searchId), stringifyProtoJson(ProgressMessage.toJSON(progress)));
}

/** Calls back for each progress message of a search; the returned function ends the subscription. */
export function subscribeProgress(
  bus: Bus,
  searchId: string,
  listener: (progress: TrainingProgressed) => void,
): () => void {
  const subscription = bus.connection.subscribe(progressSubject(searchId), {
    callback: (error, message) => {
      if (error) return bus.logger.warn("progress subscription failed", { searchId, error });
      let progress: TrainingProgressed;
      try {
        progress = ProgressMessage.fromJSON(message.json());
      } catch {
        // Progress may be lost by contract: a malformed message is counted, and the reader goes on.
        bus.counters.malformed++;
        return;
      }
      listener(progress);
    },
  });
  return () => subscription.unsubscribe();
}
