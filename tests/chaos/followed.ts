import type { ServiceName } from "../../cli/stack/stack";
import type { EventName, StoredEvent } from "../../shared/events/catalog";
import { replay } from "../../shared/events/history";
import { subscribeProgress } from "../../shared/events/publisher";
import { until } from "../../shared/testing/until";
import { nameOf } from "../outcome";
import type { System } from "../system";
import type { Fleet } from "./fleet";

/** Where an event leaves the search: the service whose worker has it next. */
const NEXT: Partial<Record<EventName, ServiceName>> = {
  "supernet.converged": "discretization",
  "network.trained": "latency",
};
/** Events after which a work item that comes again starts further on. */
const REACHED = /epoch\.completed$|^(supernet\.converged|architecture\.derived|network\.(trained|profiled))$/;
const ENDS: readonly EventName[] = ["search.succeeded", "search.failed", "search.cancelled"];

/** A search as its events show it. */
export class Followed {
  /** Sequences of messages that the test has stored among the events of the search. */
  readonly foreign = new Set<number>();
  /** Deaths of workers of the service that has the search, since it last got on. */
  strikes = 0;
  private readonly stored: StoredEvent[] = [];
  private progress = 0;
  private readonly over = new AbortController();
  private readonly following: Promise<void>;

  constructor(
    private readonly system: System,
    readonly id: string,
  ) {
    this.following = this.follow();
    // stop() reports a failure.
    this.following.catch(() => {});
  }

  /** Resolves when the search has ended. */
  async ended(): Promise<void> {
    await until(
      () => `search ${this.id} after ${this.newest}`,
      () => this.isOver,
    );
  }

  get isOver(): boolean {
    return this.events.some(({ event }) => ENDS.includes(event.type));
  }

  /** The events so far, without foreign ones. */
  get events(): StoredEvent[] {
    return this.stored.filter(({ sequence }) => !this.foreign.has(sequence));
  }

  /** Name and epoch of the newest event. */
  get newest(): string {
    const newest = this.events.at(-1);
    return newest ? nameOf(newest) : "no event";
  }

  /** The service that works for the search. */
  get at(): ServiceName {
    return NEXT[this.events.at(-1)?.event.type ?? "search.created"] ?? "supernet";
  }

  /** Resolves when the search has an event of this index, or has ended. */
  async reaches(index: number): Promise<void> {
    await until(() => this.events.length > index || this.isOver);
  }

  /** Resolves when the work that follows the newest event is under way: its worker runs or reports progress, or has got on. */
  async underWay(fleet: Fleet): Promise<void> {
    const [progress, events] = [this.progress, this.events.length];
    const { at } = this;
    const workers = () => fleet.workers(at).length > 0;
    await until(
      () => this.progress > progress || this.events.length > events || this.isOver || (at !== "supernet" && workers()),
    );
  }

  async stop(): Promise<void> {
    this.over.abort();
    await this.following;
  }

  private async follow(): Promise<void> {
    const forget = subscribeProgress(this.system.bus, this.id, () => this.progress++);
    for await (const stored of replay(this.system.bus, this.id, 0, this.over.signal)) {
      this.stored.push(stored);
      if (REACHED.test(stored.event.type)) this.strikes = 0;
    }
    forget();
  }
}
