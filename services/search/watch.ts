import type { Bus } from "../../shared/events/bus";
import { toWatchResponse, type StoredEvent } from "../../shared/events/catalog";
import { history, onDeletion, replay } from "../../shared/events/history";
import { subscribeProgress } from "../../shared/events/publisher";
import type { TrainingProgressed } from "../../shared/proto/lathe/v1/events";
import type { Search, WatchSearchResponse } from "../../shared/proto/lathe/v1/search";
import { isEnd, isEnded } from "./record";

interface WatchOptions {
  /** First sequence to send; 0: the first event. */
  fromSequence: number;
  includeProgress: boolean;
  signal: AbortSignal;
}

/**
 * The events of a search from a sequence on, then each new one, up to and including the event that ends it. A failure that a resumption
 * had followed when the watch began does not end it; a deletion does. Progress messages have
 * sequence 0 and follow the history; a client that reads more slowly than the worker publishes gets only the newest.
 */
export async function* watch(
  bus: Bus,
  search: Search,
  { fromSequence, includeProgress, signal }: WatchOptions,
): AsyncGenerator<WatchSearchResponse, void, undefined> {
  if (isEnded(search)) {
    // Nothing is stored after the last event.
    if (fromSequence > search.lastSequence) return;
    for await (const stored of history(bus, search.id, fromSequence, { until: search.lastSequence, signal })) {
      yield toWatchResponse(stored);
      if (isLast(search, stored)) return;
    }
    return;
  }
  const end = new AbortController();
  const events = replay(bus, search.id, fromSequence, AbortSignal.any([signal, end.signal]));
  void onDeletion(bus, search.id, AbortSignal.any([signal, end.signal]), () => end.abort());
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
      if (isLast(search, event.value)) return;
    }
  } finally {
    end.abort();
    unsubscribe();
  }
}

const isLast = ({ resumptions }: Search, { event }: StoredEvent) =>
  isEnd(event.type) && !(event.type === "search.failed" && event.data.resumption < resumptions);

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
