import type { Bus } from "../../shared/events/bus";
import type { StoredEvent } from "../../shared/events/catalog";
import { isOutage, sleep } from "../../shared/events/faults";
import { onDeletion, replay } from "../../shared/events/history";
import { subscribeProgress } from "../../shared/events/publisher";
import { LatheError } from "../../shared/process/errors";
import type { TrainingProgressed } from "../../shared/proto/lathe/v1/events";

/**
 * Newest events that a feed keeps; those of a large space have some 100 kB each. A watcher that is further behind reads them for itself.
 */
const KEPT_EVENTS = 200;

/** The part of Projection that a feed needs. */
interface Recorded {
  /** Waits until the record of a search includes an event; returns the newest sequence that it includes. */
  reach(searchId: string, sequence: number, signal: AbortSignal): Promise<number>;
}

/**
 * The reader that all watchers of one search in this process share: it reads each event once, and follows the progress messages. An event
 * is in the feed once the record includes it.
 */
class Feed {
  watchers = 0;
  progress: { value: TrainingProgressed; number: number } | undefined;
  /** Set when the feed has ended; `error` where its reader failed. */
  ended: { error?: LatheError } | undefined;
  private readonly events: StoredEvent[] = [];
  private readonly waiting = new Set<() => void>();
  private readonly closing = new AbortController();
  private readonly unsubscribe: () => void;

  constructor(
    bus: Bus,
    recorded: Recorded,
    searchId: string,
    /** Sequence from which on the feed has every event; it keeps none before. */
    public first: number,
  ) {
    this.unsubscribe = subscribeProgress(bus, searchId, (value) => {
      this.progress = { value, number: (this.progress?.number ?? 0) + 1 };
      this.wake();
    });
    void this.read(bus, recorded, searchId);
    void onDeletion(bus, searchId, this.closing.signal, () => this.end({}));
  }

  /** The first event that the feed keeps from a sequence on; undefined where there is none yet. */
  next(sequence: number): StoredEvent | undefined {
    const newest = this.events.at(-1);
    if (!newest || newest.sequence < sequence) return undefined;
    // Watchers are mostly at the end.
    let at = this.events.length - 1;
    while (at > 0 && this.events[at - 1]!.sequence >= sequence) at--;
    return this.events[at];
  }

  /** Resolves at the next change of the feed, or when the signal aborts. */
  changed(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal.aborted) return resolve();
      const end = () => {
        this.waiting.delete(end);
        signal.removeEventListener("abort", end);
        resolve();
      };
      this.waiting.add(end);
      signal.addEventListener("abort", end);
    });
  }

  close(): void {
    this.closing.abort();
    this.unsubscribe();
  }

  private async read(bus: Bus, recorded: Recorded, searchId: string): Promise<void> {
    const { signal } = this.closing;
    try {
      let known = 0;
      for await (const stored of replay(bus, searchId, this.first, signal)) {
        while (known < stored.sequence && !signal.aborted) known = await reached(bus, recorded, stored, signal);
        this.events.push(stored);
        if (this.events.length > KEPT_EVENTS) this.first = this.events.shift()!.sequence + 1;
        this.wake();
      }
      this.end({});
    } catch (error) {
      this.end({ error: LatheError.from(error) });
    }
  }

  private end(ended: { error?: LatheError }): void {
    this.ended ??= ended;
    this.wake();
  }

  private wake(): void {
    for (const end of [...this.waiting]) end();
  }
}

/** The newest sequence that the record includes; 0 after an outage, which only delays an event. */
async function reached(
  bus: Bus,
  recorded: Recorded,
  { searchId, sequence }: StoredEvent,
  signal: AbortSignal,
): Promise<number> {
  try {
    return await recorded.reach(searchId, sequence, signal);
  } catch (error) {
    if (!isOutage(error) || bus.connection.isClosed()) throw error;
    await sleep(500, signal);
    return 0;
  }
}

/** The feeds of the searches that this process has watchers for. */
export class Feeds {
  private readonly feeds = new Map<string, Feed>();

  constructor(
    private readonly bus: Bus,
    private readonly recorded: Recorded,
  ) {}

  /** The feed of a search, with every event from a sequence on or from a later one (`first`). Each watcher leaves it once. */
  join(searchId: string, fromSequence: number): Feed {
    let feed = this.feeds.get(searchId);
    if (!feed || feed.ended) {
      feed = new Feed(this.bus, this.recorded, searchId, fromSequence);
      this.feeds.set(searchId, feed);
    }
    feed.watchers++;
    return feed;
  }

  leave(searchId: string, feed: Feed): void {
    if (--feed.watchers > 0) return;
    feed.close();
    if (this.feeds.get(searchId) === feed) this.feeds.delete(searchId);
  }
}
