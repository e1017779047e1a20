import { LatheError } from "../process/errors";
import type { Bus } from "./bus";
import { eventLane, type EventName, type LatheEvent, type StoredEvent } from "./catalog";
import { historyOnce, isDeleted, newestEvent, onDeletion, replay } from "./history";
import { patiently } from "./patience";
import { publishEvent } from "./publisher";
import type { Consumption } from "./pulls";
import { AFTER_END, standing, stopReason, type Over, type Standing } from "./standing";
import type { WorkKind } from "./subjects";
import { takeWork, type TakeOptions, type WorkItem } from "./work";

/** Context of a work item: the search's history, and the signals that end the work. */
export interface WorkInHand {
  /** Every event of the search when the item was taken. The work continues from there. */
  history: readonly StoredEvent[];
  /** Aborts with `held`, and when the search is paused, cancelled, failed or deleted. */
  signal: AbortSignal;
  /** Aborts when the worker stops or its lease is lost: nothing more may be written. */
  held: AbortSignal;
  /** Stops the work for a reason of its search, before the watch has read the event that carries the reason. */
  stop: (reason: LatheError) => void;
}

interface SearchWorkOptions<K extends WorkKind> extends TakeOptions<K> {
  /** The events that make an item superfluous. */
  over: (work: WorkItem<K>) => Over;
  /**
   * For an item that is wanted because its search has ended: the event that reports its failure. Such an item becomes superfluous only by
   * `over` and by the deletion of the search. By default the end of a search makes it superfluous too, and work.failed reports a failure.
   */
  afterEnd?: (work: WorkItem<K>) => ((error: LatheError) => LatheEvent) | undefined;
  /** The events by which an item stores what it has reached. A failure after a new one starts the count of attempts anew. */
  milestones?: (work: WorkItem<K>) => readonly EventName[];
  /** The lane of these events that counts, where several items of a search store such events at once; by default every event counts. */
  lane?: (work: WorkItem<K>) => number | undefined;
  /** Carries out an item. A throw after `signal` has aborted is no failure. */
  handler: (work: WorkItem<K>, inHand: WorkInHand) => Promise<void>;
  /** How often an item whose data set is gone waits for it; 14 times, for 5 minutes in all. */
  maxWaits?: number | undefined;
  /** Called for an item that is skipped or stopped because its search does not need it. */
  onUnwanted?: (work: WorkItem<K>) => void;
  /** Removes what the handler may have stored for a search after its deletion. */
  onDeleted?: (searchId: string) => Promise<void>;
}

/**
 * Carries out the work items of searches, one at a time. An item that its search no longer needs is skipped, or stopped while it runs. A
 * worker that stops gives its item back. A failed item is repeated a bounded number of times and then reported.
 */
export function consumeWork<K extends WorkKind>(bus: Bus, options: SearchWorkOptions<K>): Promise<Consumption> {
  const { over, handler, onUnwanted, onDeleted, milestones, lane, maxWaits, afterEnd, ...take } = options;
  const standingOf = (work: WorkItem<K>, history: readonly StoredEvent[]) =>
    standing(history, over(work), afterEnd?.(work) ? AFTER_END : resumptionNumber(work));
  return takeWork(bus, {
    ...take,
    handler: (work, { signal, waits }) => {
      const attempt = () => pursue(bus, work, { standingOf, afterEnd, handler, onUnwanted, onDeleted }, signal);
      // A search that has ended cannot be paused.
      return afterEnd?.(work) ? attempt() : patiently(bus, work.searchId, attempt, { signal, waits, maxWaits });
    },
    progress:
      milestones &&
      ((work) => {
        const own = lane?.(work);
        const names = milestones(work);
        return own === undefined ? newestOf(bus, work.searchId, names) : newestInLane(bus, work.searchId, names, own);
      }),
    onExhausted: async ({ work, deliveries, error }) => {
      const { skip, resumptions } = standingOf(work, await historyOnce(bus, work.searchId));
      // A worker may have died after it had published the result, or after a resumption had replaced the item.
      if (skip !== undefined) {
        bus.logger.info("exhausted work item skipped", { work: work.id, why: skip });
        return onUnneeded(bus, work.searchId, onDeleted);
      }
      const { reason, message } = error;
      const data = { phase: work.kind, reason, message, deliveries, resumption: resumptions };
      const report: LatheEvent = afterEnd?.(work)?.(error) ?? { type: "work.failed", data };
      await publishEvent(bus, work.searchId, report);
    },
  });
}

/** Sequence of the newest event of these names since the search was last resumed; 0 if there is none. */
async function newestOf(bus: Bus, searchId: string, names: readonly EventName[]): Promise<number> {
  const sequence = async (name: EventName) => (await newestEvent(bus, searchId, name))?.sequence ?? 0;
  const [resumed, ...found] = await Promise.all([sequence("search.resumed"), ...names.map(sequence)]);
  const newest = Math.max(0, ...found);
  return newest > resumed ? newest : 0;
}

/** Sequence of the newest event of these names in a lane since the search was last resumed; 0 if there is none. */
async function newestInLane(bus: Bus, searchId: string, names: readonly EventName[], lane: number): Promise<number> {
  let newest = 0;
  for (const { event, sequence } of await historyOnce(bus, searchId))
    if (event.type === "search.resumed") newest = 0;
    else if (names.includes(event.type) && eventLane(event) === lane) newest = sequence;
  return newest;
}

interface Pursuit<K extends WorkKind> {
  standingOf: (work: WorkItem<K>, history: readonly StoredEvent[]) => Standing;
  afterEnd: SearchWorkOptions<K>["afterEnd"];
  handler: SearchWorkOptions<K>["handler"];
  onUnwanted: SearchWorkOptions<K>["onUnwanted"];
  onDeleted: SearchWorkOptions<K>["onDeleted"];
}

async function pursue<K extends WorkKind>(
  bus: Bus,
  work: WorkItem<K>,
  { standingOf, afterEnd, handler, onUnwanted, onDeleted }: Pursuit<K>,
  held: AbortSignal,
): Promise<void> {
  const { searchId, kind } = work;
  const history = await historyOnce(bus, searchId, 0, held);
  const { skip, sequence, resumptions } = standingOf(work, history);
  if (skip !== undefined) {
    bus.logger.info("work item skipped", { searchId, kind, why: skip });
    onUnwanted?.(work);
    return;
  }
  const unwanted = new AbortController();
  const ended = new AbortController();
  const signal = AbortSignal.any([held, unwanted.signal]);
  const until = AbortSignal.any([signal, ended.signal]);
  const watching = afterEnd?.(work) ? undefined : watch(bus, searchId, { sequence, resumptions }, unwanted, until);
  const deleted = new LatheError("CANCELLED", `search ${searchId} has been deleted`, { reason: "SEARCH_DELETED" });
  const attending = onDeletion(bus, searchId, until, () => unwanted.abort(deleted));
  try {
    await handler(work, { history, signal, held, stop: (reason) => unwanted.abort(reason) });
  } catch (error) {
    if (!unwanted.signal.aborted || held.aborted) throw error;
    const why = LatheError.from(unwanted.signal.reason);
    // The watch has failed, so whether the search needs the item is unknown: it is delivered again.
    if (why.code !== "CANCELLED") throw why;
    bus.logger.info("work item stopped", { searchId, kind, why: why.reason });
    await onUnneeded(bus, searchId, onDeleted);
    onUnwanted?.(work);
  } finally {
    ended.abort();
    await Promise.all([watching, attending]);
  }
}

async function onUnneeded(bus: Bus, searchId: string, onDeleted: ((searchId: string) => Promise<void>) | undefined) {
  if (onDeleted && (await isDeleted(bus, searchId))) await onDeleted(searchId);
}

/** Aborts `unwanted` when the search is paused, cancelled or failed, until `signal` aborts. */
async function watch(
  bus: Bus,
  searchId: string,
  { sequence, resumptions }: { sequence: number; resumptions: number },
  unwanted: AbortController,
  signal: AbortSignal,
): Promise<void> {
  try {
    for await (const stored of replay(bus, searchId, sequence + 1, signal)) {
      const reason = stopReason(stored, resumptions);
      if (reason) unwanted.abort(new LatheError("CANCELLED", `search ${searchId}: ${stored.event.type}`, { reason }));
    }
  } catch (error) {
    bus.logger.error("the events of a search cannot be followed", { searchId, error });
    unwanted.abort(LatheError.from(error));
  }
}

/** Resumption of an item. Measurements carry none, because their result does not depend on it. */
function resumptionNumber({ data }: WorkItem<WorkKind>): number {
  return "resumption" in data ? data.resumption : Infinity;
}
