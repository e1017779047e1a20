import type { Bus } from "../../shared/events/bus";
import { consumeEvents, type Consumption } from "../../shared/events/consumer";
import { subscribeProgress } from "../../shared/events/publisher";
import { ALL_EVENTS, DURABLES, parseEventSubject } from "../../shared/events/subjects";
import { SearchState, type Search } from "../../shared/proto/lathe/v1/search";
import type { SearchMetrics } from "./metrics";
import { isEnded } from "./record";
import type { Searches } from "./searches";

export interface ConsumerOptions {
  /** How often searches are looked through for what a process that died has left; 30 s. */
  sweepMs?: number;
  /** First delay of a repetition. */
  backoffMs?: number;
}

/**
 * Takes in every event of every search, in order, and listens to the progress of those that run. An event that cannot be taken in fails its
 * search: none is left stuck.
 */
export async function consumeSearches(
  bus: Bus,
  searches: Searches,
  metrics: SearchMetrics,
  { sweepMs = 30_000, backoffMs = 250 }: ConsumerOptions = {},
): Promise<Consumption> {
  const listening = new Map<string, () => void>();
  const leave = (searchId: string) => {
    listening.get(searchId)?.();
    listening.delete(searchId);
  };
  const follow = (search: Search) => {
    metrics.show(search);
    if (isEnded(search)) return leave(search.id);
    if (listening.has(search.id)) return;
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
    const active = (await searches.announceAll()).map(({ search }) => search).filter((search) => !isEnded(search));
    active.forEach(follow);
    const ids = new Set(active.map(({ id }) => id));
    metrics.keepOnly(ids);
    for (const id of listening.keys()) if (!ids.has(id)) leave(id);
  };
  // A record that cannot be read must not keep the others from going on.
  const sweep = () =>
    sweepOnce().catch((error: unknown) => bus.logger.warn("the searches could not be looked through", { error }));

  await sweep();
  const consumption = await consumeEvents(bus, {
    durable: DURABLES.search,
    filter: ALL_EVENTS,
    backoffMs,
    handler: async (stored) => {
      const record = await searches.take(stored);
      if (record) follow(record.search);
      metrics.count(stored);
    },
    onPoison: async ({ stored, where, error }) => {
      const searchId = stored?.searchId ?? parseEventSubject(where)?.searchId;
      if (searchId !== undefined) await searches.fail(searchId, error);
    },
  });
  const timer = setInterval(() => void sweep(), sweepMs);
  return {
    stop: async () => {
      clearInterval(timer);
      await consumption.stop();
      for (const searchId of [...listening.keys()]) leave(searchId);
    },
  };
}
