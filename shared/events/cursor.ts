import type { Bus } from "./bus";
import { EVENTS, type EventName } from "./catalog";
import { lastSequence, readMessage, type StoredMessage } from "./jetstream";
import { EVENTS_STREAM, eventSubject, searchFilter } from "./subjects";

/** At this distance from the end of the stream, reading the newest event of each name costs less than a search of the messages between. */
const FAR = 100;

interface CursorOptions {
  /** How long an unanswered request is repeated, ms; 0: never. */
  retryForMs: number;
  signal?: AbortSignal | undefined;
  /** The sequence of an event that is known to belong to the search. */
  known?: number;
}

/**
 * The position of a reader of one search in the stream of all events. The server finds the next event of a search by scanning the messages
 * between, so the cursor asks for it only if there is one, or if there are few messages to scan. So the cost of an event does not grow with
 * the stream.
 */
export class Cursor {
  /** Every event of the search before this sequence has been read. */
  private from: number;
  /** No event of the search lies from `from` up to this sequence, which is not included. */
  private looked: number;
  /** The sequence of an event of the search; 0 if unknown. */
  private known: number;
  private readonly request;

  /** Starts before the first event from a sequence on; 0: before the first event of the search. */
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

  /** Reads the next event and moves past it; undefined if none is stored yet. */
  async next(): Promise<StoredMessage | undefined> {
    const message = await this.find();
    if (message) this.from = this.looked = message.sequence + 1;
    return message;
  }

  /** To be called after an outage: the server that answers now may have messages that the earlier one lacked. */
  lookAgain(): void {
    this.looked = this.from;
  }

  private async find(): Promise<StoredMessage | undefined> {
    // "search.created" is the first event of every search.
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

  /** The newest event of one name. The server finds it without a scan. */
  private newestOf(name: EventName, request = this.request): Promise<StoredMessage | undefined> {
    return readMessage(this.bus, EVENTS_STREAM, { last_by_subj: eventSubject(this.searchId, name) }, request);
  }

  /** The sequence of the newest event of the search; 0 if it has none. */
  private async newest(): Promise<number> {
    // Without the signal: each of these short parallel requests would add a listener to it.
    const request = { ...this.request, signal: undefined };
    const newest = await Promise.all(Object.keys(EVENTS).map((name) => this.newestOf(name as EventName, request)));
    return Math.max(...newest.map((message) => message?.sequence ?? 0));
  }
}
