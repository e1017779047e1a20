import { randomBytes } from "node:crypto";
import type { Bus } from "../../shared/events/bus";
import type { LatheEvent } from "../../shared/events/catalog";
import { publishEvent } from "../../shared/events/publisher";
import { purgeSearch } from "../../shared/events/purge";
import { Records } from "../../shared/events/records";
import { REQUESTS_BUCKET } from "../../shared/events/subjects";
import { LatheError } from "../../shared/process/errors";
import {
  SearchState,
  type ListSearchesRequest,
  type ListSearchesResponse,
  type Search,
  type StartSearchRequest,
} from "../../shared/proto/lathe/v1/search";
import { specDigest } from "../../shared/spec/resolve";
import { Admission } from "./admission";
import { page } from "./list";
import { Devices, mayWait } from "./devices";
import { CLIENT_RETRY_MS, type Projection } from "./projection";
import { isEnded, isFinal, newRecord, stateName, type SearchRecord } from "./record";
import { validateStart } from "./validate";

/** The search that a request id has started, and the digest of its spec. */
interface Claim {
  searchId: string;
  specSha256: string;
}

/** The calls of SearchService that start, list and change searches. */
export class Searches {
  private readonly claims: Records<Claim>;
  private readonly admission: Admission;

  constructor(
    private readonly bus: Bus,
    private readonly projection: Projection,
    maxSearches: number,
    private readonly devices = new Devices(bus),
  ) {
    this.admission = new Admission(projection.places, maxSearches);
    const claim = { toJSON: (value: Claim) => value, fromJSON: (json: unknown) => json as Claim };
    this.claims = new Records(bus, REQUESTS_BUCKET, claim, { retryForMs: CLIENT_RETRY_MS });
  }

  /**
   * Stores and starts a search, if there is room for it and its device class is served. It writes the claim of the request id, the record and
   * search.created, in this order. A repetition of the same request continues where the first was cut off; without one the sweep does.
   */
  async start(request: StartSearchRequest): Promise<Search> {
    const { spec, space, requestId } = validateStart(request);
    const { waitForDevice = false } = request;
    const mayBegin = waitForDevice || mayWait(request.spec, spec);
    const specSha256 = specDigest(spec);
    const fresh: Claim = { searchId: newSearchId(), specSha256 };
    // A search that begins though its worker is not there says so from its start.
    const store = async (saysSo: boolean) => {
      const searchId = await this.claim(requestId, fresh);
      const created = newRecord(searchId, { spec, space, specSha256 }, new Date(), requestId);
      await this.projection.change(searchId, (current) => (current ? undefined : created));
      const record = await this.projection.current(searchId);
      if (!saysSo || !(await this.told(record))) return record.search;
      return (await this.projection.current(searchId)).search;
    };
    const isRepetition = requestId !== "" && (await this.claims.get(requestId)) !== undefined;
    if (isRepetition) return store(mayBegin);
    // Without room in the store, that is the reason of the refusal.
    const isAsked = !waitForDevice && this.bus.room.fault() === undefined;
    const isServed = isAsked && (await this.devices.requireServed(spec, mayBegin));
    return this.admission.admit(fresh.searchId, spec, () => store(mayBegin && !isServed));
  }

  /** Refuses what `start` would refuse, but for a lack of room, and stores nothing. A request id that has started a search passes. */
  async check(request: StartSearchRequest): Promise<undefined> {
    const { spec, requestId } = validateStart(request);
    const isRepetition = requestId !== "" && (await this.claims.get(requestId)) !== undefined;
    if (!isRepetition) this.admission.check(spec);
    if (!request.waitForDevice && !isRepetition) await this.devices.requireServed(spec, mayWait(request.spec, spec));
  }

  /** A page of the list, as ListSearches gives it; only the records of the page are read. */
  async list(request: ListSearchesRequest): Promise<ListSearchesResponse> {
    const listed = (await this.projection.places.list()).map(({ key: id, value }) => ({ id, ...value }));
    const { ids, nextPageToken } = page(listed, request);
    const searches = (await this.projection.records.getAll(ids)).map(({ value }) => value.search);
    const { states } = request;
    // A place may be older than its record.
    return { searches: searches.filter(({ state }) => states.length === 0 || states.includes(state)), nextPageToken };
  }

  /** Pauses a search; no effect on a paused one. FAILED_PRECONDITION once it has ended. */
  async pause(searchId: string): Promise<Search> {
    const { search } = await this.projection.current(searchId);
    if (search.state === SearchState.SEARCH_STATE_PAUSED) return search;
    if (isEnded(search)) throw notAllowed(search, "paused", "PENDING or RUNNING");
    // A pause has no number of its own: it takes that of the next resumption.
    return this.publish(searchId, { type: "search.paused", data: {} }, search.resumptions + 1);
  }

  /**
   * Resumes a paused search, or a failed one: it goes on from its newest checkpoint, or from the last stage that is complete. No effect on
   * a search that has been resumed. FAILED_PRECONDITION where it is neither.
   */
  async resume(searchId: string): Promise<Search> {
    const { search } = await this.projection.current(searchId);
    if (search.state === SearchState.SEARCH_STATE_RUNNING && search.resumptions > 0) return search;
    if (search.state !== SearchState.SEARCH_STATE_PAUSED && search.state !== SearchState.SEARCH_STATE_FAILED)
      throw notAllowed(search, "resumed", "PAUSED or FAILED");
    return this.publish(searchId, { type: "search.resumed", data: { resumption: search.resumptions + 1 } });
  }

  /** Cancels a search; no effect on a cancelled one. FAILED_PRECONDITION where it has succeeded or failed. */
  async cancel(searchId: string, reason: string): Promise<Search> {
    const { search } = await this.projection.current(searchId);
    if (isEnded(search) && search.state !== SearchState.SEARCH_STATE_CANCELLED)
      throw notAllowed(search, "cancelled", "PENDING, RUNNING or PAUSED");
    if (isEnded(search)) return search;
    // One that came after a failure had no effect, and must not pass for this one after the resumption.
    const after = await this.publish(searchId, { type: "search.cancelled", data: { reason } }, search.resumptions);
    if (after.state !== SearchState.SEARCH_STATE_CANCELLED)
      throw notAllowed(after, "cancelled", "PENDING, RUNNING or PAUSED");
    return after;
  }

  /** Removes an ended search with its events and objects. The record is removed last, so that an interrupted deletion can be repeated. */
  async delete(searchId: string): Promise<void> {
    const { search } = await this.projection.get(searchId);
    if (!isEnded(search)) throw notAllowed(search, "deleted", "SUCCEEDED, FAILED or CANCELLED");
    for (const { searchId: branch } of search.result?.branches ?? []) await this.requireDerived(searchId, branch);
    if (search.requestId !== "" && (await this.claims.get(search.requestId))?.value.searchId === searchId)
      await this.claims.delete(search.requestId);
    await purgeSearch(this.bus, searchId);
    await this.projection.places.delete(searchId);
    await this.projection.records.delete(searchId);
  }

  /** Tells a search whether its class is served; returns whether that was news. It has begun, so an outage does not fail its start. */
  private async told(record: SearchRecord): Promise<boolean> {
    try {
      return await this.devices.tell(record);
    } catch (error) {
      this.bus.logger.warn("a search could not be told whether its device class is served", {
        searchId: record.search.id,
        error,
      });
      return false;
    }
  }

  /** FAILED_PRECONDITION (SEARCH_NEEDED) while a search that started from the supernet of this one has no network yet. */
  private async requireDerived(searchId: string, branch: string): Promise<void> {
    const known = (await this.projection.records.get(branch))?.value.search;
    if (!known || known.result?.genotype || isFinal(known)) return;
    throw new LatheError(
      "FAILED_PRECONDITION",
      `search ${searchId} has the supernet that search ${branch} still needs: wait until that has derived its network, or delete it first`,
      { reason: "SEARCH_NEEDED", metadata: { search_id: searchId, needed_by: branch } },
    );
  }

  /** The id of the search that a request id has started, or the fresh one; ALREADY_EXISTS where it has started another spec. */
  private async claim(requestId: string, fresh: Claim): Promise<string> {
    if (requestId === "") return fresh.searchId;
    const entry = await this.claims.mutate(requestId, (known) => (known ? undefined : fresh));
    const claim = entry?.value ?? fresh;
    if (claim.specSha256 === fresh.specSha256) return claim.searchId;
    throw new LatheError(
      "ALREADY_EXISTS",
      `request_id "${requestId}" has started search ${claim.searchId} with another spec: use another request_id`,
      { reason: "REQUEST_ID_REUSED", metadata: { search_id: claim.searchId } },
    );
  }

  /** Publishes an event of a search and returns the search after it. */
  private async publish(searchId: string, event: LatheEvent, ordinal?: number): Promise<Search> {
    await publishEvent(this.bus, searchId, event, {
      retryForMs: CLIENT_RETRY_MS,
      ...(ordinal !== undefined && { ordinal }),
    });
    return (await this.projection.current(searchId)).search;
  }
}

const LETTERS = "abcdefghijklmnopqrstuvwxyz234567";

/** "s-" and 12 random characters of base 32: 60 bits. */
function newSearchId(): string {
  return `s-${Array.from(randomBytes(12), (byte) => LETTERS[byte % 32]).join("")}`;
}

function notAllowed({ id, state }: Search, what: string, allowed: string): LatheError {
  return new LatheError("FAILED_PRECONDITION", `search ${id} is ${stateName(state)}: only ${allowed} can be ${what}`, {
    reason: "SEARCH_STATE",
    metadata: { search_id: id, state: stateName(state) },
  });
}
