import type { Bus } from "../../shared/events/bus";
import { toWatchResponse, type StoredEvent } from "../../shared/events/catalog";
import { history } from "../../shared/events/history";
import type { Search, WatchSearchResponse } from "../../shared/proto/lathe/v1/search";
import type { Feeds } from "./feed";
import { isEnd, isEnded } from "./record";

interface WatchOptions {
  /** First sequence to send; 0: the first event. */
  fromSequence: number;
  includeProgress: boolean;
  signal: AbortSignal;
}

/**
 * The events of a search from a sequence on, then each new one, up to and including the event that ends it. A failure that a resumption
 * had followed when the watch began does not end it; a deletion does. The network of a cancelled search may be kept minutes later, or never
 * where no worker runs, so only a watch that begins after it sends network.kept. Each event is sent once the record includes it, so that a read after
 * an event is at least as new as the event, whichever process answers it. Progress messages have sequence 0 and follow the history; a
 * client that reads more slowly than the worker publishes gets only the newest.
 */
export async function* watch(
  bus: Bus,
  feeds: Feeds,
  search: Search,
  { fromSequence, includeProgress, signal }: WatchOptions,
): AsyncGenerator<WatchSearchResponse, void, undefined> {
  if (isEnded(search)) {
    // The caller has read the record after its last event.
    const until = search.lastSequence;
    if (fromSequence <= until) yield* stored(history(bus, search.id, fromSequence, { until, signal }), search);
    return;
  }
  // An end before the first wanted event ends the watch too, so the feed includes every event that is to come.
  let next = Math.min(fromSequence, search.lastSequence + 1);
  const feed = feeds.join(search.id, next);
  let progress = feed.progress?.number ?? 0;
  try {
    while (!signal.aborted) {
      if (next < feed.first) {
        // Events that the feed does not keep, or has never read.
        const until = feed.first - 1;
        for await (const event of history(bus, search.id, next, { until, signal })) {
          if (event.sequence >= fromSequence) yield toWatchResponse(event);
          if (isLast(search, event)) return;
        }
        next = until + 1;
        continue;
      }
      const event = feed.next(next);
      if (event) {
        next = event.sequence + 1;
        if (event.sequence >= fromSequence) yield toWatchResponse(event);
        if (isLast(search, event)) return;
      } else if (includeProgress && next > search.lastSequence && feed.progress && feed.progress.number > progress) {
        progress = feed.progress.number;
        yield { sequence: 0, time: new Date(), event: { $case: "trainingProgressed", value: feed.progress.value } };
      } else if (feed.ended) {
        if (feed.ended.error) throw feed.ended.error;
        return;
      } else await feed.changed(signal);
    }
  } finally {
    feeds.leave(search.id, feed);
  }
}

async function* stored(
  events: AsyncIterable<StoredEvent>,
  search: Search,
): AsyncGenerator<WatchSearchResponse, void, undefined> {
  let isOver = false;
  for await (const event of events) {
    // A worker may have published others before it heard of the end.
    if (!isOver || event.event.type === "network.kept") yield toWatchResponse(event);
    isOver ||= isLast(search, event);
  }
}

const isLast = ({ resumptions }: Search, { event }: StoredEvent) =>
  isEnd(event.type) && !(event.type === "search.failed" && event.data.resumption < resumptions);
