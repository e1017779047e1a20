import type { Bus } from "../../shared/events/bus";
import { toWatchResponse, type StoredEvent } from "../../shared/events/catalog";
import { isUnavailable, sleep } from "../../shared/events/faults";
import { history, replay } from "../../shared/events/history";
import { subscribeProgress } from "../../shared/events/publisher";
import type { TrainingProgressed } from "../../shared/proto/lathe/v1/events";
import type { Search, WatchSearchResponse } from "../../shared/proto/lathe/v1/search";
import { isEnd, isEnded } from "./record";

/** The part of Projection that a watch needs. */
interface Records {
  reach(searchId: string, sequence: number, signal: AbortSignal): Promise<number>;
}

interface WatchOptions {
  /** First sequence to send; 0: the first event. */
  fromSequence: number;
  includeProgress: boolean;
  signal: AbortSignal;
}

/**
 * The events of a search from a sequence on, then each new one, up to and including the event that ends it. Each is sent once the record
 * includes it, so that a read after an event is at least as new as the event, whichever process answers it. Progress messages have
 * sequence 0 and follow the history; a client that reads more slowly than the worker publishes gets only the newest.
 */
export async function* watch(
  bus: Bus,
  records: Records,
  search: Search,
  { fromSequence, includeProgress, signal }: WatchOptions,
): AsyncGenerator<WatchSearchResponse, void, undefined> {
  if (isEnded(search)) {
    // Nothing is stored after the last event.
    if (fromSequence > search.lastSequence) return;
    // The caller has read the record after its last event.
    for await (const stored of history(bus, search.id, fromSequence, { until: search.lastSequence, signal })) {
      yield toWatchResponse(stored);
      if (isLast(stored)) return;
    }
    return;
  }
  const end = new AbortController();
  const ending = AbortSignal.any([signal, end.signal]);
  const events = recorded(bus, replay(bus, search.id, fromSequence, ending), records, search.lastSequence, ending);
  const newest = new Newest<TrainingProgressed>();
  const unsubscribe = includeProgress
    ? subscribeProgress(bus, search.id, (progress) => newest.put(progress))
    : () => {};
  // The next event is requested before it is awaited; its failure must not count as unhandled until then.
  const ask = () => {
    const next = events.next();
    next.catch(() => {});
    return next;
  };
  try {
    let coming = ask();
    let live = fromSequence > search.lastSequence;
    for (;;) {
      const event = await (live ? Promise.race([coming, newest.arrived()]) : coming);
      if (event === undefined) {
        const progress = newest.take();
        if (progress) yield progressResponse(progress);
        continue;
      }
      if (event.done) return;
      coming = ask();
      live ||= event.value.sequence >= search.lastSequence;
      yield toWatchResponse(event.value);
      if (isLast(event.value)) return;
    }
  } finally {
    end.abort();
    unsubscribe();
  }
}

/** Events, each once the record of its search includes it. `known` is the newest sequence that the record is known to include. */
async function* recorded(
  bus: Bus,
  events: AsyncIterable<StoredEvent>,
  records: Records,
  known: number,
  signal: AbortSignal,
): AsyncGenerator<StoredEvent, void, undefined> {
  let newest = known;
  for await (const stored of events) {
    for (let reached = stored.sequence <= newest; !reached;) {
      try {
        newest = await records.reach(stored.searchId, stored.sequence, signal);
        reached = true;
      } catch (error) {
        // As in replay, an outage of NATS only delays an event.
        if (!isUnavailable(error) || bus.connection.isClosed()) throw error;
        await sleep(500, signal);
        if (signal.aborted) return;
      }
    }
    yield stored;
  }
}

const isLast = ({ event }: StoredEvent) => isEnd(event.type);

function progressResponse(value: TrainingProgressed): WatchSearchResponse {
  return { sequence: 0, time: new Date(), event: { $case: "trainingProgressed", value } };
}

/** Holds one value; a newer one replaces it. */
class Newest<T> {
  private value: T | undefined;
  private wake = () => {};

  put(value: T): void {
    this.value = value;
    this.wake();
  }

  take(): T | undefined {
    const { value } = this;
    this.value = undefined;
    return value;
  }

  /** Resolves when there is a value to take. */
  arrived(): Promise<undefined> {
    if (this.value !== undefined) return Promise.resolve(undefined);
    return new Promise((resolve) => (this.wake = () => resolve(undefined)));
  }
}
