import { LatheError } from "../process/errors";
import type { Bus } from "./bus";
import type { EventName, StoredEvent } from "./catalog";
import { Cursor } from "./cursor";
import { decodeEvent } from "./envelope";
import { isOutage, sleep } from "./faults";
import { lastSequence, readMessage, type StoredMessage } from "./jetstream";
import { streamInfo } from "./streams";
import { EVENTS_STREAM, eventSubject, parseEventSubject, searchFilter } from "./subjects";

/** Interval of reads without a wake-up, in case a wake-up was lost. */
const POLL_MS = 2000;
/** Delays of repeated reads: a subscriber may get a message before the stream has stored it. */
const RECHECK_MS = [2, 10, 50, 200];

/** Decodes a stored message as an event. A malformed message is counted and logged, and gives undefined. */
export function readStored(bus: Bus, message: Omit<StoredMessage, "id">): StoredEvent | undefined {
  const where = `${message.subject}#${message.sequence}`;
  try {
    const { searchId, time, event } = decodeEvent(message.data, where);
    const subject = parseEventSubject(message.subject);
    if (subject?.searchId !== searchId || subject.event !== event.type) {
      throw new LatheError("INVALID_ARGUMENT", `malformed envelope at ${where}: it says ${searchId}, ${event.type}`, {
        reason: "ENVELOPE_MALFORMED",
      });
    }
    return { sequence: message.sequence, time, searchId, event };
  } catch (error) {
    bus.counters.malformed++;
    bus.logger.error("malformed event", { error });
    return undefined;
  }
}

/**
 * The events of a search that are stored now, in order, from a sequence on (0: from the first). Each is read when the caller asks for it.
 * `until` is the sequence of the last wanted event, if the caller knows it.
 */
export async function* history(
  bus: Bus,
  searchId: string,
  fromSequence = 0,
  { until, signal }: { until?: number; signal?: AbortSignal | undefined } = {},
): AsyncGenerator<StoredEvent, void, undefined> {
  const last = until ?? (await lastSequence(bus, EVENTS_STREAM));
  const cursor = new Cursor(bus, searchId, fromSequence, { retryForMs: 10_000, signal, known: until ?? 0 });
  for (let at = fromSequence - 1; at < last;) {
    const message = await cursor.next();
    if (!message || message.sequence > last) return;
    const stored = readStored(bus, message);
    if (stored) yield stored;
    at = message.sequence;
  }
}

/** The events of history() as an array; empty if there are none. */
export async function historyOnce(
  bus: Bus,
  searchId: string,
  fromSequence = 0,
  signal?: AbortSignal,
): Promise<StoredEvent[]> {
  const events: StoredEvent[] = [];
  for await (const stored of history(bus, searchId, fromSequence, { signal })) events.push(stored);
  return events;
}

/**
 * The events of a search from a sequence on (0: from the first), then each new one, until the signal aborts. Events come in order, each
 * exactly once, and an outage of NATS only delays them. NOT_FOUND (SEARCH_LOST) where NATS comes back without the stream.
 *
 * Each event is read by its sequence (Cursor), so there is no consumer whose state an outage could lose. A plain subscription only wakes
 * the reader.
 */
export async function* replay(
  bus: Bus,
  searchId: string,
  fromSequence: number,
  signal: AbortSignal,
): AsyncGenerator<StoredEvent, void, undefined> {
  const bell = new Bell();
  const subscription = bus.connection.subscribe(searchFilter(searchId), { callback: () => bell.ring() });
  const cursor = new Cursor(bus, searchId, fromSequence, { retryForMs: 0, signal });
  const forget = bus.onReconnect(() => {
    cursor.lookAgain();
    bell.ring();
  });
  let lost = false;
  const forgetLoss = bus.onLoss((streams) => {
    lost ||= streams.includes(EVENTS_STREAM);
    bell.ring();
  });
  const onAbort = () => bell.ring();
  signal.addEventListener("abort", onAbort);
  // A function, because TypeScript narrows `signal.aborted` across awaits.
  const aborted = () => signal.aborted;
  try {
    let misses = 0;
    while (!aborted()) {
      if (lost) throw lostSearch(searchId);
      const heard = bell.count;
      let message: StoredMessage | undefined;
      try {
        message = await cursor.next();
      } catch (error) {
        if (aborted()) return;
        if (LatheError.from(error).reason === "STREAM_NOT_FOUND") throw lostSearch(searchId);
        if (!isOutage(error) || bus.connection.isClosed()) throw error;
        cursor.lookAgain();
        await bell.wait(heard, 500);
        continue;
      }
      if (message) {
        misses = 0;
        const stored = readStored(bus, message);
        if (stored && !aborted()) yield stored;
        continue;
      }
      const recheck = bell.count > 0 ? RECHECK_MS[misses] : undefined;
      misses++;
      const rung = await bell.wait(heard, recheck ?? POLL_MS);
      if (rung) misses = 0;
    }
  } finally {
    signal.removeEventListener("abort", onAbort);
    forget();
    forgetLoss();
    subscription.unsubscribe();
  }
}

/**
 * Calls `read` with a search's history, and again with the newer history where an object that it names is gone: a trainer may have published
 * a newer checkpoint and deleted that one meanwhile.
 */
export async function readingNewest<T>(
  bus: Bus,
  searchId: string,
  history: readonly StoredEvent[],
  signal: AbortSignal,
  read: (history: readonly StoredEvent[]) => Promise<T>,
): Promise<T> {
  for (let known = history; ;) {
    try {
      return await read(known);
    } catch (error) {
      if (LatheError.from(error).reason !== "OBJECT_NOT_FOUND") throw error;
      const now = await historyOnce(bus, searchId, 0, signal);
      if (now.length <= known.length) throw error;
      known = now;
    }
  }
}

/** The newest stored event of one name; undefined if there is none. */
export async function newestEvent(bus: Bus, searchId: string, name: EventName): Promise<StoredEvent | undefined> {
  const query = { last_by_subj: eventSubject(searchId, name) };
  const message = await readMessage(bus, EVENTS_STREAM, query, { what: `newest ${name} of search ${searchId}` });
  return message && readStored(bus, message);
}

/** How often a search has been resumed. */
export async function resumptionsOf(bus: Bus, searchId: string): Promise<number> {
  const event = (await newestEvent(bus, searchId, "search.resumed"))?.event;
  return event?.type === "search.resumed" ? event.data.resumption : 0;
}

/**
 * Whether a search has been deleted, or has never been: it lacks search.created, its first event. A deletion leaves no event that a
 * reader of replay() would see, and a worker that has not heard of it goes on to publish events.
 */
export async function isDeleted(bus: Bus, searchId: string): Promise<boolean> {
  const query = { last_by_subj: eventSubject(searchId, "search.created") };
  return (await readMessage(bus, EVENTS_STREAM, query, { what: `search.created of ${searchId}` })) === undefined;
}

/**
 * Calls back once the search has been deleted, at most two seconds later, unless the signal aborts first. An outage only delays it. A
 * stream that was made anew has lost the search, which is no deletion: replay() reports it.
 */
export async function onDeletion(bus: Bus, searchId: string, signal: AbortSignal, deleted: () => void): Promise<void> {
  let created: string | undefined;
  for (let look = 1; !signal.aborted; look++) {
    try {
      const stream = await streamInfo(bus, EVENTS_STREAM);
      created ??= stream?.created;
      if (!stream || stream.created !== created) return;
      if (look > 1 && (await isDeleted(bus, searchId))) return deleted();
    } catch (error) {
      bus.logger.warn("it is not known whether a search still exists", { searchId, error });
    }
    await sleep(POLL_MS, signal);
  }
}

function lostSearch(searchId: string): LatheError {
  const text = `search ${searchId} is lost: NATS has come back without the streams that held it`;
  return new LatheError("NOT_FOUND", text, { reason: "SEARCH_LOST", metadata: { search_id: searchId } });
}

/** Waits for the first event from a sequence on that `accept` accepts; CANCELLED if the signal aborts first. */
export async function awaitEvent(
  bus: Bus,
  searchId: string,
  fromSequence: number,
  accept: (stored: StoredEvent) => boolean,
  signal: AbortSignal,
): Promise<StoredEvent> {
  for await (const stored of replay(bus, searchId, fromSequence, signal)) {
    if (accept(stored)) return stored;
  }
  throw new LatheError("CANCELLED", `waiting for an event of search ${searchId} was cancelled`, {
    cause: signal.reason,
  });
}

/** A wake-up that also counts if it comes before the wait. */
class Bell {
  count = 0;
  private waiting: AbortController | undefined;

  ring(): void {
    this.count++;
    this.waiting?.abort();
  }

  /** Resolves to true as soon as the bell has rung since the count `heard`; to false after `ms` without a ring. */
  async wait(heard: number, ms: number): Promise<boolean> {
    if (this.count > heard) return true;
    this.waiting = new AbortController();
    await sleep(ms, this.waiting.signal);
    this.waiting = undefined;
    return this.count > heard;
  }
}
