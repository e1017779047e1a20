import type { Bus } from "../../shared/events/bus";
import type { StoredEvent } from "../../shared/events/catalog";
import { sleep } from "../../shared/events/faults";
import { history, historyOnce, resumptionsOf } from "../../shared/events/history";
import { publishEvent, publishWork, type WorkRequest } from "../../shared/events/publisher";
import { purgeSearch } from "../../shared/events/purge";
import { Records, type Entry } from "../../shared/events/records";
import { LISTING_BUCKET, SEARCHES_BUCKET, type WorkKind } from "../../shared/events/subjects";
import { withdrawWork } from "../../shared/events/withdraw";
import { LatheError } from "../../shared/process/errors";
import type { SearchFailed } from "../../shared/proto/lathe/v1/events";
import { SearchState, type Search } from "../../shared/proto/lathe/v1/search";
import { workOfPhase } from "../../shared/spec/phases";
import { begun } from "./changes";
import { nextCommand, type Command, type Host } from "./commands";
import { projectAll } from "./lifecycle";
import { placeCodec, placeOf, type Place } from "./list";
import type { NewBranch } from "./branches";
import { isComplete, isEnded, newRecord, recordCodec, type SearchRecord } from "./record";

/** A client waits 30 s in all, with up to five calls and some 9 s of pauses; the reason of a failure must come before. */
export const CLIENT_RETRY_MS = 3_500;

/** Waits between the looks at a record that lacks an event, ms: a second in all. */
const REACH_MS = [0, 2, 5, 10, 20, 50, 100, 200, 300, 300];

/** The records of searches and the commands that follow from them. The bus holds all state: the process may die between any two steps. */
export class Projection {
  readonly records: Records<SearchRecord>;
  readonly places: Records<Place>;

  constructor(
    private readonly bus: Bus,
    private readonly host: Host,
  ) {
    const requests = { retryForMs: CLIENT_RETRY_MS };
    this.records = new Records(bus, SEARCHES_BUCKET, recordCodec, requests);
    this.places = new Records(bus, LISTING_BUCKET, placeCodec, requests);
  }

  /** The stored record; NOT_FOUND where there is none. */
  async get(searchId: string): Promise<SearchRecord> {
    return (await this.entry(searchId)).value;
  }

  /**
   * The record after every event of the search that is stored by now, with its place in the list; NOT_FOUND where there is none. So a
   * caller that answers with it may be followed by any read of any process.
   */
  async current(searchId: string): Promise<SearchRecord> {
    const entry = await this.entry(searchId);
    if (isComplete(entry.value)) return this.placed(entry);
    if (entry.value.search.lastSequence === 0) await this.announce(entry.value);
    const missing = await historyOnce(this.bus, searchId, entry.value.search.lastSequence + 1);
    if (missing.length === 0) return this.placed(entry);
    const next = await this.change(searchId, (known) => changed(known, projectAll(known, missing)));
    if (!next) throw notFound(searchId);
    return this.placed(next);
  }

  /**
   * Waits until the record and its place in the list include the event of a sequence, and returns the newest sequence that they include.
   * The process that consumes the event writes them within milliseconds; where none does, this process takes the event in.
   */
  async reach(searchId: string, sequence: number, signal: AbortSignal): Promise<number> {
    for (const waitMs of REACH_MS) {
      await sleep(waitMs, signal);
      const entry = await this.records.get(searchId);
      // The search has been deleted: reads answer NOT_FOUND, which is newer than the event.
      if (!entry || signal.aborted) return sequence;
      if (entry.value.search.lastSequence >= sequence) return (await this.placed(entry)).search.lastSequence;
    }
    return (await this.current(searchId)).search.lastSequence;
  }

  /**
   * Takes in an event, after the earlier ones that the record has missed, and carries out the command that follows. Safe to repeat after
   * any step. The record follows the order of the stream, in whichever order processes receive the events. Returns undefined where the
   * event belongs to no search: a worker published it after the deletion, and what it has stored is removed.
   */
  async take(stored: StoredEvent): Promise<SearchRecord | undefined> {
    const { searchId, sequence } = stored;
    const entry = await this.change(searchId, async (known) => {
      // The stream is the source: a record that is lost is made again from it.
      if (!known) return projectAll(undefined, await historyOnce(this.bus, searchId));
      return changed(known, projectAll(known, await this.missing(known, sequence)));
    });
    if (!entry) {
      this.bus.logger.warn("event of a search that does not exist", { searchId, event: stored.event.type });
      await purgeSearch(this.bus, searchId);
      return undefined;
    }
    return this.advance(entry.value);
  }

  /** Fails a search that cannot go on; no effect where it does not exist or has ended. */
  async fail(searchId: string, error: LatheError): Promise<void> {
    const known = await this.records.get(searchId).catch((cause: unknown) => {
      // A record that cannot be read is a reason to fail the search. An outage is not.
      if (LatheError.from(cause).reason !== "RECORD_MALFORMED") throw cause;
      return undefined;
    });
    if (known && isEnded(known.value.search)) return;
    const phase = (known && workOfPhase(known.value.search.phase)) ?? "search";
    const resumption = await resumptionsOf(this.bus, searchId);
    const data: SearchFailed = { reason: error.reason, message: error.message, phase, resumption };
    await publishEvent(this.bus, searchId, { type: "search.failed", data });
  }

  /** Takes a search out of PENDING at the first sign of life of a worker. */
  async markBegun(searchId: string): Promise<void> {
    await this.change(searchId, (known) => {
      if (known?.search.state !== SearchState.SEARCH_STATE_PENDING || known.search.lastSequence === 0) return undefined;
      return { ...known, search: { ...known.search, ...begun(known.search) } };
    });
  }

  /** Changes a record, and then its place in the list where it may have moved. */
  async change(
    searchId: string,
    change: (current: SearchRecord | undefined) => SearchRecord | undefined | Promise<SearchRecord | undefined>,
  ): Promise<Entry<SearchRecord> | undefined> {
    let moved = true;
    const entry = await this.records.mutate(searchId, async (known) => {
      const next = await change(known);
      // An unchanged record may have been changed by a process that died before it wrote the place.
      moved = next === undefined || known?.search.state !== next.search.state;
      return next;
    });
    if (entry && moved) await this.place(entry);
    return entry;
  }

  /** Writes a record's place in the list, unless a newer record has written it. */
  async place({ key, value, revision }: Entry<SearchRecord>): Promise<void> {
    const place = placeOf(value.search, revision);
    await this.places.mutate(key, (known) =>
      known && (known.state === place.state || known.revision > revision) ? undefined : place,
    );
  }

  private async entry(searchId: string): Promise<Entry<SearchRecord>> {
    const entry = await this.records.get(searchId);
    if (!entry) throw notFound(searchId);
    return entry;
  }

  private async placed(entry: Entry<SearchRecord>): Promise<SearchRecord> {
    // The process that changed the record writes the place after it, or has died between the two.
    await this.place(entry);
    return entry.value;
  }

  /** Publishes search.created, once however often it is called. */
  async announce({ search, specSha256, origin }: SearchRecord): Promise<void> {
    const data = { spec: search.spec, space: search.space, specSha256, ...(origin && { origin }) };
    await publishEvent(
      this.bus,
      search.id,
      { type: "search.created", data },
      { retryForMs: CLIENT_RETRY_MS, ...(search.createdAt && { time: search.createdAt }) },
    );
  }

  /** The events up to a sequence that a record has not taken in. */
  private async missing({ search }: SearchRecord, until: number): Promise<StoredEvent[]> {
    const events: StoredEvent[] = [];
    if (until <= search.lastSequence) return events;
    for await (const stored of history(this.bus, search.id, search.lastSequence + 1, { until })) events.push(stored);
    return events;
  }

  /**
   * Carries out the command that a record asks for, unless it has been carried out. The work of a search that has ended leaves the queue,
   * but for the item that keeps its network, at each event after the end: a process that died may have left some.
   */
  async advance(record: SearchRecord): Promise<SearchRecord> {
    if (isEnded(record.search)) await this.withdraw(record.search);
    const command = nextCommand(record, this.host);
    if (!command || command.id === record.issued) return record;
    await this.carryOut(record.search.id, command);
    const entry = await this.records.mutate(record.search.id, (known) =>
      // Another process may have taken in later events, and carried out the command that follows from them.
      !known || known.search.lastSequence !== record.search.lastSequence ? undefined : { ...known, issued: command.id },
    );
    // The search may have ended, or been deleted, while its work was queued.
    if (!entry) await withdrawWork(this.bus, record.search.id);
    else if (isEnded(entry.value.search)) await this.withdraw(entry.value.search);
    return entry?.value ?? record;
  }

  /** A failed search may be resumed meanwhile: the work of a later resumption stays. */
  private async withdraw(search: Search): Promise<void> {
    await withdrawWork(this.bus, search.id, search.resumptions);
  }

  private async carryOut(searchId: string, command: Command): Promise<void> {
    if (command.do === "branch") await this.branch(searchId, command.branch);
    else if (command.do === "publish") await publishEvent(this.bus, searchId, command.event);
    else
      for (const work of command.do === "work" ? [command.work] : command.works)
        await publishWork(this.bus, work as WorkRequest<WorkKind>);
  }

  /** Creates a search that starts from the supernet of another one. Safe to repeat. */
  private async branch(originId: string, { id, created, branched }: NewBranch): Promise<void> {
    await this.change(id, (known) => (known ? undefined : newRecord(id, created, new Date())));
    await this.current(id);
    await publishEvent(this.bus, originId, { type: "search.branched", data: branched });
  }
}

const changed = (before: SearchRecord | undefined, after: SearchRecord | undefined) =>
  after === before ? undefined : after;

function notFound(searchId: string): LatheError {
  return new LatheError("NOT_FOUND", `search ${searchId} does not exist`, {
    reason: "SEARCH_NOT_FOUND",
    metadata: { search_id: searchId },
  });
}
