import type { TrainingProgressed } from "../proto/lathe/v1/events";
import { TrainingProgressed as ProgressMessage } from "../proto/lathe/v1/events";
import { eventOrdinal, type LatheEvent, type WorkData } from "./catalog";
import type { Bus } from "./bus";
import { decodeEvent, encodeEvent, encodeWork, stringifyProtoJson } from "./envelope";
import { readMessage, store } from "./jetstream";
import { EVENTS_STREAM, eventId, eventSubject, progressSubject, workId, workSubject, type WorkKind } from "./subjects";
import { sending } from "./tracing";

interface PublishOptions {
  /** Tells two events of one name apart within a search; by default the epoch or resumption that the event carries. */
  ordinal?: number | string;
  /** When it happened; now by default. */
  time?: Date;
  /** How long NATS may be out of reach; 60 s. */
  retryForMs?: number;
  signal?: AbortSignal;
}

interface Published {
  sequence: number;
  /** The event was in the stream before: nothing was added. */
  duplicate: boolean;
}

/** Stores an event once, however often it is called for the same search, name and ordinal: by message id within the stream's window, by the stored event after it. */
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
  // A worker that resumes after the window of message ids has passed tells again what is known.
  const earlier = await readMessage(bus, EVENTS_STREAM, { last_by_subj: subject }, request);
  if (earlier && isSameOrLater(decodeEvent(earlier.data, `${subject}#${earlier.sequence}`).id, id)) {
    return { sequence: earlier.sequence, duplicate: true };
  }
  const data = encodeEvent(event, { id, searchId, source: bus.source, time: options.time ?? new Date() });
  return store(bus, subject, data, { ...request, msgId: id });
}

/** Events of one name are published in the order of their numbers: once 7 is stored, so is 5. */
function isSameOrLater(stored: string, id: string): boolean {
  if (stored === id) return true;
  const number = (text: string) => Number(/:(\d+)$/.exec(text)?.[1] ?? NaN);
  return number(stored) >= number(id);
}

export interface WorkRequest<K extends WorkKind> {
  searchId: string;
  kind: K;
  data: WorkData<K>;
  /** Resumption, or another word that tells two items of this kind apart within a search ("operators", "network"). */
  ordinal: number | string;
  /** Of a profile item: which workers may take it. */
  deviceClass?: string;
}

/** Queues a work item; the same item again within 10 minutes is a duplicate, even when the first has been done. RESOURCE_EXHAUSTED where the queue is full. */
export async function publishWork<K extends WorkKind>(
  bus: Bus,
  work: WorkRequest<K>,
  options: Omit<PublishOptions, "ordinal"> = {},
): Promise<Published> {
  const { searchId, kind, data, ordinal, deviceClass } = work;
  const id = workId(searchId, kind, ordinal);
  const bytes = encodeWork(kind, data, { id, searchId, source: bus.source, time: options.time ?? new Date() });
  return sending(searchId, `work ${kind}`, () =>
    store(bus, workSubject(kind, deviceClass), bytes, {
      what: `work item ${id}`,
      msgId: id,
      retryForMs: options.retryForMs ?? 60_000,
      signal: options.signal,
    }),
  );
}

/** Tells where a worker is; lossy, kept nowhere, dropped while NATS is out of reach. */
export function publishProgress(bus: Bus, searchId: string, progress: TrainingProgressed): void {
  if (!bus.status().connected) return;
  bus.connection.publish(progressSubject(searchId), stringifyProtoJson(ProgressMessage.toJSON(progress)));
}

/** Calls back for each progress message of a search; returns what ends it. */
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
        // Lossy by contract: counted, never a failure of the reader.
        bus.counters.malformed++;
        return;
      }
      listener(progress);
    },
  });
  return () => subscription.unsubscribe();
}
