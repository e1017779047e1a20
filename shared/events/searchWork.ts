import { LatheError } from "../process/errors";
import type { Bus } from "./bus";
import type { StoredEvent } from "./catalog";
import { historyOnce, replay } from "./history";
import { patiently } from "./patience";
import { publishEvent } from "./publisher";
import type { Consumption } from "./pulls";
import { standing, stopReason, type Over } from "./standing";
import type { WorkKind } from "./subjects";
import { takeWork, type TakeOptions, type WorkItem } from "./work";

/** Context of a work item: the search's history, and the signals that end the work. */
export interface WorkInHand {
  /** Every event of the search when the item was taken. The work continues from there. */
  history: readonly StoredEvent[];
  /** Aborts with `held`, and when the search is paused, cancelled or failed. */
  signal: AbortSignal;
  /** Aborts when the worker stops or its lease is lost: nothing more may be written. */
  held: AbortSignal;
  /** Stops the work for a reason of its search, before the watch has read the event that carries the reason. */
  stop: (reason: LatheError) => void;
}

interface SearchWorkOptions<K extends WorkKind> extends TakeOptions<K> {
  /** The events that make an item superfluous. */
  over: (work: WorkItem<K>) => Over;
  /** Carries out an item. A throw after `signal` has aborted is no failure. */
  handler: (work: WorkItem<K>, inHand: WorkInHand) => Promise<void>;
  /** How long a data set that is gone is waited for, in ms; 5 minutes. */
  patienceMs?: number | undefined;
  /** Called for an item that is skipped or stopped because its search does not need it. */
  onUnwanted?: (work: WorkItem<K>) => void;
}

/**
 * Carries out the work items of searches, one at a time. An item that its search no longer needs is skipped, or stopped while it runs. A
 * worker that stops gives its item back. A failed item is repeated a bounded number of times and then reported as work.failed.
 */
export function consumeWork<K extends WorkKind>(bus: Bus, options: SearchWorkOptions<K>): Promise<Consumption> {
  const { over, handler, onUnwanted, patienceMs, ...take } = options;
  return takeWork(bus, {
    ...take,
    handler: (work, { signal }) => {
      const attempt = () => pursue(bus, work, { over: over(work), handler, onUnwanted }, signal);
      return patiently(bus, work.searchId, attempt, signal, patienceMs);
    },
    onExhausted: async ({ work, deliveries, error }) => {
      // An unreadable item names no search to report to; takeWork has logged it.
      if (!work) return;
      const { skip } = standing(await historyOnce(bus, work.searchId), over(work), resumptionNumber(work));
      // A worker may have died after it had published the result, or after a resumption had replaced the item.
      if (skip !== undefined) return bus.logger.info("exhausted work item skipped", { work: work.id, why: skip });
      const { reason, message } = error;
      const data = { phase: work.kind, reason, message, deliveries };
      await publishEvent(bus, work.searchId, { type: "work.failed", data });
    },
  });
}

interface Pursuit<K extends WorkKind> {
  over: Over;
  handler: SearchWorkOptions<K>["handler"];
  onUnwanted: SearchWorkOptions<K>["onUnwanted"];
}

async function pursue<K extends WorkKind>(
  bus: Bus,
  work: WorkItem<K>,
  { over, handler, onUnwanted }: Pursuit<K>,
  held: AbortSignal,
): Promise<void> {
  const { searchId, kind } = work;
  const history = await historyOnce(bus, searchId, 0, held);
  const { skip, sequence } = standing(history, over, resumptionNumber(work));
  if (skip !== undefined) {
    bus.logger.info("work item skipped", { searchId, kind, why: skip });
    return onUnwanted?.(work);
  }
  const unwanted = new AbortController();
  const ended = new AbortController();
  const signal = AbortSignal.any([held, unwanted.signal]);
  const watching = watch(bus, searchId, sequence + 1, unwanted, AbortSignal.any([signal, ended.signal]));
  try {
    await handler(work, { history, signal, held, stop: (reason) => unwanted.abort(reason) });
  } catch (error) {
    if (!unwanted.signal.aborted || held.aborted) throw error;
    const why = LatheError.from(unwanted.signal.reason);
    // The watch has failed, so whether the search needs the item is unknown: it is delivered again.
    if (why.code !== "CANCELLED") throw why;
    bus.logger.info("work item stopped", { searchId, kind, why: why.reason });
    onUnwanted?.(work);
  } finally {
    ended.abort();
    await watching;
  }
}

/** Aborts `unwanted` when the search is paused, cancelled or failed, until `signal` aborts. */
async function watch(
  bus: Bus,
  searchId: string,
  from: number,
  unwanted: AbortController,
  signal: AbortSignal,
): Promise<void> {
  try {
    for await (const stored of replay(bus, searchId, from, signal)) {
      const reason = stopReason(stored);
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
