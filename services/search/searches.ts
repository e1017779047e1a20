import type { Bus } from "../../shared/events/bus";
import type { LatheEvent, StoredEvent } from "../../shared/events/catalog";
import { isTransient } from "../../shared/events/consumer";
import { history, historyOnce } from "../../shared/events/history";
import { publishEvent, publishWork, type WorkRequest } from "../../shared/events/publisher";
import { purgeSearch } from "../../shared/events/purge";
import { Records, type Entry } from "../../shared/events/records";
import { LISTING_BUCKET, REQUESTS_BUCKET, SEARCHES_BUCKET, type WorkKind } from "../../shared/events/subjects";
import { LatheError } from "../../shared/process/errors";
import type { SearchFailed } from "../../shared/proto/lathe/v1/events";
import {
  SearchState,
  type ListSearchesRequest,
  type ListSearchesResponse,
  type Search,
  type StartSearchRequest,
} from "../../shared/proto/lathe/v1/search";
import { specDigest } from "../../shared/spec/digest";
import { workOfPhase } from "../../shared/spec/phases";
import { nextCommand, type Command, type Host } from "./commands";
import { newSearchId } from "./ids";
import { begun, projectAll } from "./lifecycle";
import { page } from "./list";
import { placeCodec, placeOf, type Place } from "./place";
import { isEnded, newRecord, recordCodec, stateName, type SearchRecord } from "./record";
import { validateStart } from "./validate";

/** Which search a request id has started, and with what. */
interface Claim {
  searchId: string;
  specSha256: string;
}

interface Sweep {
  changed: Search[];
  /** Ids of the searches that have not ended. */
  open: ReadonlySet<string>;
}

const UNKNOWN = SearchState.SEARCH_STATE_UNSPECIFIED;

/** A client waits for what it asked for, and asks up to five times within its 30 s, with some 9 s between; it must hear why before they are over. */
const CLIENT_RETRY_MS = 3_500;

/** Another process may have dropped an event and be gone, which no record shows. */
const FULL_SWEEP_EVERY = 10;

/**
 * The searches as the bus holds them: records, events, work items. No state of its own but a copy of their places in the list, so that it
 * may die between any two steps.
 */
export class Searches {
  private readonly records: Records<SearchRecord>;
  private readonly places: Records<Place>;
  private readonly claims: Records<Claim>;
  /** Changes of records up to here have been looked through. */
  private sweptUpTo = -1;
  /** Sweeps since the first. */
  private sweeps = 0;
  /** Searches whose records have missed an event: the next sweep repairs them. */
  private readonly behind = new Set<string>();

  constructor(
    private readonly bus: Bus,
    private readonly host: Host,
  ) {
    const requests = { retryForMs: CLIENT_RETRY_MS };
    const claim = { toJSON: (value: Claim) => value, fromJSON: (json: unknown) => json as Claim };
    this.records = new Records(bus, SEARCHES_BUCKET, recordCodec, requests);
    this.places = new Records(bus, LISTING_BUCKET, placeCodec, requests);
    this.claims = new Records(bus, REQUESTS_BUCKET, claim, requests);
  }

  /**
   * Stores and starts a search. In this order: the claim of the request id, the record, search.created; a repetition of the same request
   * takes up where the first was cut off, and sweep does so where nobody repeats it.
   */
  async start(request: StartSearchRequest): Promise<Search> {
    const { spec, space, requestId } = validateStart(request);
    const specSha256 = specDigest(spec);
    const searchId = await this.claim(requestId, specSha256);
    const created = newRecord(searchId, { spec, space, specSha256 }, new Date(), requestId);
    await this.change(searchId, (current) => (current ? undefined : created));
    return (await this.current(searchId)).search;
  }

  /** The record as it stands; NOT_FOUND where there is none. */
  async get(searchId: string): Promise<SearchRecord> {
    const entry = await this.records.get(searchId);
    if (!entry) throw notFound(searchId);
    return entry.value;
  }

  /** The record with every event of the search that is stored by now taken in. */
  async current(searchId: string): Promise<SearchRecord> {
    let record = await this.get(searchId);
    // Events after the end of a search change nothing.
    if (isEnded(record.search)) return record;
    if (record.search.lastSequence === 0) await this.announce(record);
    const missing = await historyOnce(this.bus, searchId, record.search.lastSequence + 1);
    if (missing.length > 0) {
      const entry = await this.change(searchId, (known) => changed(known, projectAll(known, missing)));
      if (!entry) throw notFound(searchId);
      record = entry.value;
    }
    return record;
  }

  /** A page of the list, as ListSearches gives it; only the records of the page are read. */
  async list(request: ListSearchesRequest): Promise<ListSearchesResponse> {
    const listed = (await this.places.list()).map(({ key: id, value }) => ({ id, ...value }));
    const { ids, nextPageToken } = page(listed, request);
    const searches = (await this.records.getAll(ids)).map(({ value }) => value.search);
    const { states } = request;
    // A place may be older than the record.
    return { searches: searches.filter(({ state }) => states.length === 0 || states.includes(state)), nextPageToken };
  }

  /** Pauses a search; one that is paused stays so. FAILED_PRECONDITION once it has ended. */
  async pause(searchId: string): Promise<Search> {
    const { search } = await this.current(searchId);
    if (search.state === SearchState.SEARCH_STATE_PAUSED) return search;
    if (isEnded(search)) throw notAllowed(search, "paused", "PENDING or RUNNING");
    // Pauses have no number of their own: the next resumption's is theirs.
    return this.tell(searchId, { type: "search.paused", data: {} }, search.resumptions + 1);
  }

  /** Resumes a paused search; the repetition of a resume is harmless. FAILED_PRECONDITION where it is not paused. */
  async resume(searchId: string): Promise<Search> {
    const { search } = await this.current(searchId);
    if (search.state === SearchState.SEARCH_STATE_RUNNING && search.resumptions > 0) return search;
    if (search.state !== SearchState.SEARCH_STATE_PAUSED) throw notAllowed(search, "resumed", "PAUSED");
    return this.tell(searchId, { type: "search.resumed", data: { resumption: search.resumptions + 1 } });
  }

  /** Cancels a search; one that is cancelled stays so. FAILED_PRECONDITION where it has ended otherwise. */
  async cancel(searchId: string, reason: string): Promise<Search> {
    const { search } = await this.current(searchId);
    if (isEnded(search) && search.state !== SearchState.SEARCH_STATE_CANCELLED)
      throw notAllowed(search, "cancelled", "PENDING, RUNNING or PAUSED");
    if (isEnded(search)) return search;
    const after = await this.tell(searchId, { type: "search.cancelled", data: { reason } });
    if (after.state !== SearchState.SEARCH_STATE_CANCELLED)
      throw notAllowed(after, "cancelled", "PENDING, RUNNING or PAUSED");
    return after;
  }

  /** Removes an ended search with its events and objects; the record goes last, so that what was cut off can be repeated. */
  async delete(searchId: string): Promise<void> {
    const { search } = await this.get(searchId);
    if (!isEnded(search)) throw notAllowed(search, "deleted", "SUCCEEDED, FAILED or CANCELLED");
    if (search.requestId !== "" && (await this.claims.get(search.requestId))?.value.searchId === searchId)
      await this.claims.delete(search.requestId);
    await purgeSearch(this.bus, searchId);
    await this.places.delete(searchId);
    await this.records.delete(searchId);
  }

  /**
   * Takes in an event, after those before it that the record has missed, and does what follows; safe to repeat after any step. So the record follows
   * the order of the stream, in whichever order processes get the events. Undefined where the event belongs to no search: a worker
   * that has not heard of a deletion, whose traces are removed.
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

  /** Ends a search that cannot go on; nothing where it does not exist or has ended. */
  async fail(searchId: string, error: LatheError): Promise<void> {
    const known = await this.records.get(searchId).catch((cause: unknown) => {
      // A record that cannot be read is a reason to fail, not to stop here; an outage is.
      if (LatheError.from(cause).reason !== "RECORD_MALFORMED") throw cause;
      return undefined;
    });
    if (known && isEnded(known.value.search)) return;
    const phase = (known && workOfPhase(known.value.search.phase)) ?? "search";
    const data: SearchFailed = { reason: error.reason, message: error.message, phase };
    await publishEvent(this.bus, searchId, { type: "search.failed", data });
  }

  /** Notes that a record has missed an event, which the next sweep mends. */
  repairLater(searchId: string): void {
    this.behind.add(searchId);
  }

  /** A worker has been heard of: the first of a search takes it out of PENDING. */
  async markBegun(searchId: string): Promise<void> {
    await this.change(searchId, (known) => {
      if (known?.search.state !== SearchState.SEARCH_STATE_PENDING || known.search.lastSequence === 0) return undefined;
      return { ...known, search: { ...known.search, ...begun(known.search) } };
    });
  }

  /**
   * Looks through the searches that have not ended, at the first time, and through those that have changed since, at each later time. It mends what a
   * process has left that died halfway: search.created is published where it is missing, and every record has its place in the list.
   * At the first time and at every tenth, every record takes in what is stored of its search and issues what comes next; in between, only those that
   * missed an event in this process. So a search goes on that another process or an earlier version has left where it issued nothing.
   */
  async sweep(): Promise<Sweep> {
    const revision = await this.records.newest();
    const places = new Map((await this.places.list()).map(({ key, value }) => [key, value]));
    // After the places: a search has its record before its place, and loses it after.
    const ids = new Set(await this.records.keys());
    for (const id of places.keys()) if (!ids.has(id)) await this.places.delete(id);
    const open = new Set([...ids].filter((id) => !isEnded(places.get(id) ?? { state: UNKNOWN })));
    const changed: Search[] = [];
    const look = async (entry: Entry<SearchRecord>) => {
      const { search } = entry.value;
      if (places.get(search.id)?.state !== search.state) await this.place(entry);
      if (search.lastSequence === 0) await this.announce(entry.value);
      if (isEnded(search)) open.delete(search.id);
      changed.push(search);
    };
    const all = this.sweptUpTo < 0 || ++this.sweeps % FULL_SWEEP_EVERY === 0;
    const entries = all ? this.records.eachOf([...open]) : this.records.changes(this.sweptUpTo);
    let complete = true;
    try {
      for await (const entry of entries) await look(entry);
    } catch (thrown) {
      const error = LatheError.from(thrown);
      // One unreadable record must not keep the others from their repair; its own repair fails its search.
      if (error.reason !== "RECORD_MALFORMED") throw error;
      this.bus.logger.error("a record cannot be read", { error });
      complete = false;
    }
    if (all) for (const id of open) this.behind.add(id);
    for (const id of [...this.behind]) {
      const search = await this.repair(id);
      if (search) changed.push(search);
    }
    if (complete) this.sweptUpTo = revision;
    return { changed, open };
  }

  /** Takes in what is stored of a search and issues what comes next; left for the next sweep where that cannot be done now. */
  private async repair(searchId: string): Promise<Search | undefined> {
    // Before the stream is read: an event that is missed meanwhile is for the next sweep.
    this.behind.delete(searchId);
    try {
      return (await this.advance(await this.current(searchId))).search;
    } catch (thrown) {
      const error = LatheError.from(thrown);
      if (error.code === "NOT_FOUND") return undefined;
      this.bus.logger.warn("a record could not be repaired", { searchId, error });
      this.behind.add(searchId);
      if (isTransient(error)) return undefined;
      await this.fail(searchId, error);
      this.behind.delete(searchId);
      return undefined;
    }
  }

  /** The events that a record has not taken in, up to a sequence. */
  private async missing({ search }: SearchRecord, until: number): Promise<StoredEvent[]> {
    const events: StoredEvent[] = [];
    if (until <= search.lastSequence) return events;
    for await (const stored of history(this.bus, search.id, search.lastSequence + 1, { until })) events.push(stored);
    return events;
  }

  /** Changes a record, and then its place in the list where it may have moved. */
  private async change(
    searchId: string,
    change: (current: SearchRecord | undefined) => SearchRecord | undefined | Promise<SearchRecord | undefined>,
  ): Promise<Entry<SearchRecord> | undefined> {
    let moved = true;
    const entry = await this.records.mutate(searchId, async (known) => {
      const next = await change(known);
      // Where nothing changes, it may have been changed by a process that died before it came to the place.
      moved = next === undefined || known?.search.state !== next.search.state;
      return next;
    });
    if (entry && moved) await this.place(entry);
    return entry;
  }

  private async place({ key, value, revision }: Entry<SearchRecord>): Promise<void> {
    const place = placeOf(value.search, revision);
    await this.places.mutate(key, (known) =>
      known && (known.state === place.state || known.revision > revision) ? undefined : place,
    );
  }

  /** The search that a request id stands for, a new one where it is new; ALREADY_EXISTS where it stands for another spec. */
  private async claim(requestId: string, specSha256: string): Promise<string> {
    const fresh: Claim = { searchId: newSearchId(), specSha256 };
    if (requestId === "") return fresh.searchId;
    const entry = await this.claims.mutate(requestId, (known) => (known ? undefined : fresh));
    const claim = entry?.value ?? fresh;
    if (claim.specSha256 === specSha256) return claim.searchId;
    throw new LatheError(
      "ALREADY_EXISTS",
      `request_id "${requestId}" has started search ${claim.searchId} with another spec: use another request_id`,
      { reason: "REQUEST_ID_REUSED", metadata: { search_id: claim.searchId } },
    );
  }

  private async announce({ search, specSha256 }: SearchRecord): Promise<void> {
    const data = { spec: search.spec, space: search.space, specSha256 };
    await publishEvent(
      this.bus,
      search.id,
      { type: "search.created", data },
      { retryForMs: CLIENT_RETRY_MS, ...(search.createdAt && { time: search.createdAt }) },
    );
  }

  private async tell(searchId: string, event: LatheEvent, ordinal?: number): Promise<Search> {
    await publishEvent(this.bus, searchId, event, {
      retryForMs: CLIENT_RETRY_MS,
      ...(ordinal !== undefined && { ordinal }),
    });
    return (await this.current(searchId)).search;
  }

  private async advance(record: SearchRecord): Promise<SearchRecord> {
    const command = nextCommand(record, this.host);
    if (!command || command.id === record.issued) return record;
    await this.carryOut(record.search.id, command);
    const entry = await this.records.mutate(record.search.id, (known) =>
      // Another process may have taken in later events and issued what follows from them.
      !known || known.search.lastSequence !== record.search.lastSequence ? undefined : { ...known, issued: command.id },
    );
    return entry?.value ?? record;
  }

  private async carryOut(searchId: string, command: Command): Promise<void> {
    if (command.do === "publish") await publishEvent(this.bus, searchId, command.event);
    else await publishWork(this.bus, command.work as WorkRequest<WorkKind>);
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

function notAllowed({ id, state }: Search, what: string, allowed: string): LatheError {
  return new LatheError("FAILED_PRECONDITION", `search ${id} is ${stateName(state)}: only ${allowed} can be ${what}`, {
    reason: "SEARCH_STATE",
    metadata: { search_id: id, state: stateName(state) },
  });
}
