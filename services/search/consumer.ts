import type { Bus } from "../../shared/events/bus";
import { consumeEvents, isTransient } from "../../shared/events/consumer";
import { subscribeProgress } from "../../shared/events/publisher";
import type { Consumption } from "../../shared/events/pulls";
import { ALL_EVENTS, DURABLES } from "../../shared/events/subjects";
import { SearchState, type Search } from "../../shared/proto/lathe/v1/search";
import type { SearchMetrics } from "./metrics";
import { isEnded } from "./record";
import type { Searches } from "./searches";
import { traceEnd } from "./traces";

interface ConsumerOptions {
  /** How often searches are looked through for what a process that died has left; 30 s. */
  sweepMs?: number;
  /** First delay of a repetition. */
  backoffMs?: number;
}

/**
 * Takes in every event of every search, and listens to the progress of those that run. An event that can never be taken in fails its search.
 * One that could not be taken in for now is dropped after its attempts, and the sweep repairs the record from the stream: the record loses
 * nothing, and a fault that time heals fails no search.
 */
export async function consume(
  bus: Bus,
  searches: Searches,
  metrics: SearchMetrics,
  { sweepMs = 30_000, backoffMs = 250 }: ConsumerOptions = {},
): Promise<Consumption> {
  const listening = new Map<string, () => void>();
  let stopped = false;
  const leave = (searchId: string) => {
    listening.get(searchId)?.();
    listening.delete(searchId);
    metrics.remove(searchId);
  };
  const follow = (search: Search) => {
    if (isEnded(search)) return leave(search.id);
    metrics.show(search);
    if (stopped || listening.has(search.id)) return;
    let pending = search.state === SearchState.SEARCH_STATE_PENDING;
    listening.set(
      search.id,
      subscribeProgress(bus, search.id, () => {
        metrics.heard(search.id, new Date());
        if (!pending) return;
        pending = false;
        searches.markBegun(search.id).catch((error: unknown) => {
          // The first event of the worker says the same.
          bus.logger.warn("a search could not be marked as begun", { searchId: search.id, error });
        });
      }),
    );
  };
  const sweepOnce = async () => {
    // Those of now: a search that begins during the look is in neither.
    const followed = [...listening.keys()];
    const { changed, open } = await searches.sweep();
    changed.forEach(follow);
    for (const id of followed) if (!open.has(id)) leave(id);
  };
  // A record that cannot be read must not stop the service.
  let sweeping: Promise<void> | undefined;
  // One at a time: a sweep may take longer than the time between two.
  const sweep = () =>
    (sweeping ??= sweepOnce()
      .catch((error: unknown) => bus.logger.warn("the searches could not be looked through", { error }))
      .finally(() => (sweeping = undefined)));

  // Nobody waits for it: the start takes no longer for the searches that are stored.
  void sweep();
  const consumption = await consumeEvents(bus, {
    durable: DURABLES.search,
    filter: ALL_EVENTS,
    backoffMs,
    handler: async (stored) => {
      const record = await searches.take(stored);
      if (record) {
        follow(record.search);
        traceEnd(record.search, stored);
      }
      metrics.count(stored);
    },
    onGivenUp: async ({ searchId, error }) => {
      if (searchId === undefined) return;
      if (isTransient(error)) searches.repairLater(searchId);
      else await searches.fail(searchId, error);
    },
  });
  const timer = setInterval(() => void sweep(), sweepMs);
  return {
    stop: async () => {
      clearInterval(timer);
      await consumption.stop();
      stopped = true;
      for (const searchId of [...listening.keys()]) leave(searchId);
    },
  };
}
