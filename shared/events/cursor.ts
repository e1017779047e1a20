import type { Bus } from "./bus";
import { EVENTS, type EventName } from "./catalog";
import { lastSequence, readMessage, type StoredMessage } from "./jetstream";
import { EVENTS_STREAM, eventSubject, searchFilter } from "./subjects";

/** So far behind the end of the stream, it costs less to ask for the newest event of each name than to look for what may not be there. */
const FAR = 100;

interface CursorOptions {
  /** How long an unanswered request is repeated; 0: not. */
  retryForMs: number;
  signal?: AbortSignal | undefined;
  /** A sequence that an event of the search is known to have. */
  known?: number;
}

/**
 * Where a reader of one search stands in the stream of all. The server answers "the next event of this search from n on" by looking through what
 * lies between, so it is asked only where there is one, or where little lies between: what an event costs does not grow with the stream.
 */
export class Cursor {
  /** Every event of the search before it has been read. */
  private from: number;
  /** None of the search lies between `from` and here. */
  private looked: number;
  /** There is an event of the search here. */
  private known: number;
  private readonly request;

  /** Stands before the first event from a sequence on; 0: before the first of all. */
  constructor(
    private readonly bus: Bus,
    private readonly searchId: string,
    fromSequence: number,
    { retryForMs, signal, known = 0 }: CursorOptions,
  ) {
    this.from = this.looked = Math.max(1, fromSequence);
    this.known = known;
    this.request = { what: `history of search ${searchId}`, retryForMs, signal };
  }

  /** The next event, which is then behind; undefined where none is stored. */
  async next(): Promise<StoredMessage | undefined> {
    const message = await this.find();
    if (message) this.from = this.looked = message.sequence + 1;
    return message;
  }

  /** After an outage: another server may answer now, which need not have had all that the one before had. */
  lookAgain(): void {
    this.looked = this.from;
  }

  private async find(): Promise<StoredMessage | undefined> {
    // Nothing of a search comes before it.
    const first = this.from === 1 ? await this.newestOf("search.created") : undefined;
    if (first) return first;
    if (this.looked <= this.known) {
      const message = await this.following();
      if (message) return message;
      // The search has been deleted.
      this.known = 0;
    }
    const last = await lastSequence(this.bus, EVENTS_STREAM);
    if (last < this.looked) return undefined;
    const far = last - this.looked > FAR;
    if (far) this.known = await this.newest();
    const message = far && this.known < this.looked ? undefined : await this.following();
    if (!message) this.looked = last + 1;
    return message;
  }

  private following(): Promise<StoredMessage | undefined> {
    const query = { seq: this.looked, next_by_subj: searchFilter(this.searchId) };
    return readMessage(this.bus, EVENTS_STREAM, query, this.request);
  }

  /** Of a whole subject the server knows the newest message, however much is stored. */
  private newestOf(name: EventName, request = this.request): Promise<StoredMessage | undefined> {
    return readMessage(this.bus, EVENTS_STREAM, { last_by_subj: eventSubject(this.searchId, name) }, request);
  }

  /** Sequence of the search's newest event; 0 where it has none. */
  private async newest(): Promise<number> {
    // Side by side and soon over: without a listener of each on the signal.
    const request = { ...this.request, signal: undefined };
    const newest = await Promise.all(Object.keys(EVENTS).map((name) => this.newestOf(name as EventName, request)));
    return Math.max(...newest.map((message) => message?.sequence ?? 0));
  }
}
