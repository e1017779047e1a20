import type { Bus } from "../../shared/events/bus";
import { isTransient } from "../../shared/events/consumer";
import { readMessage } from "../../shared/events/jetstream";
import type { Entry } from "../../shared/events/records";
import { EVENTS_STREAM, eventSubject } from "../../shared/events/subjects";
import { LatheError } from "../../shared/process/errors";
import { SearchState, type Search } from "../../shared/proto/lathe/v1/search";
import type { Projection } from "./projection";
import { isEnded, type SearchRecord } from "./record";

interface Swept {
  changed: Search[];
  /** Ids of the searches that have not ended. */
  open: ReadonlySet<string>;
}

const UNKNOWN = SearchState.SEARCH_STATE_UNSPECIFIED;

/** Another process may have dropped an event and died: no record shows that. */
const FULL_SWEEP_EVERY = 2;

/** Repairs what processes have left that died halfway, and records that have missed events. */
export class Sweep {
  /** Changes of records up to this revision have been looked through. */
  private sweptUpTo = -1;
  /** Sweeps since the first. */
  private sweeps = 0;
  /** Searches whose records have missed an event: the next sweep repairs them. */
  private readonly behind = new Set<string>();

  constructor(
    private readonly bus: Bus,
    private readonly projection: Projection,
  ) {}

  /** Has the next sweep repair a record that has missed an event. */
  repairLater(searchId: string): void {
    this.behind.add(searchId);
  }

  /**
   * The first sweep looks through the searches that have not ended, later ones through those that have changed since. It publishes
   * search.created where that is missing, and gives every record its place in the list. The first and every second sweep also repair the
   * record of every open search, the sweeps between only those that missed an event in this process. So a search goes on that another
   * process or an earlier version has left behind.
   */
  async run(): Promise<Swept> {
    const { records, places } = this.projection;
    const revision = await records.newest();
    const listed = new Map((await places.list()).map(({ key, value }) => [key, value]));
    // Read after the places: a search gets its record before its place, and loses it after.
    const ids = new Set(await records.keys());
    for (const id of listed.keys()) if (!ids.has(id)) await places.delete(id);
    const open = new Set([...ids].filter((id) => !isEnded(listed.get(id) ?? { state: UNKNOWN })));
    const changed: Search[] = [];
    const look = async (entry: Entry<SearchRecord>) => {
      const { search } = entry.value;
      if (listed.get(search.id)?.state !== search.state) await this.projection.place(entry);
      if (search.lastSequence === 0) await this.projection.announce(entry.value);
      if (isEnded(search)) open.delete(search.id);
      changed.push(search);
    };
    const all = this.sweptUpTo < 0 || ++this.sweeps % FULL_SWEEP_EVERY === 0;
    const entries = all ? records.eachOf([...open]) : records.changes(this.sweptUpTo);
    let complete = true;
    try {
      for await (const entry of entries) await look(entry);
    } catch (thrown) {
      const error = LatheError.from(thrown);
      // One unreadable record must not keep the others from their repair. Its own repair fails its search.
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

  /** Takes in the stored events of a search and carries out its command. After a transient error the next sweep tries again. */
  private async repair(searchId: string): Promise<Search | undefined> {
    // Before the stream is read: an event that is missed meanwhile is left to the next sweep.
    this.behind.delete(searchId);
    try {
      const record = await this.projection.current(searchId);
      if (!isEnded(record.search)) await this.requireEvents(record);
      return (await this.projection.advance(record)).search;
    } catch (thrown) {
      const error = LatheError.from(thrown);
      if (error.code === "NOT_FOUND") return undefined;
      this.bus.logger.warn("a record could not be repaired", { searchId, error });
      this.behind.add(searchId);
      if (isTransient(error)) return undefined;
      await this.projection.fail(searchId, error);
      this.behind.delete(searchId);
      return undefined;
    }
  }

  /** Throws EVENTS_LOST where the stream has lost the beginning of a search: workers skip its items as those of a deleted search. */
  private async requireEvents({ search: { id } }: SearchRecord): Promise<void> {
    const query = { last_by_subj: eventSubject(id, "search.created") };
    if (await readMessage(this.bus, EVENTS_STREAM, query, { what: `the first event of search ${id}` })) return;
    const text = `NATS has lost the first event of search ${id}, and perhaps others: start the search again`;
    throw new LatheError("FAILED_PRECONDITION", text, { reason: "EVENTS_LOST" });
  }
}
