import type { Bus } from "../../shared/events/bus";
import type { StoredEvent } from "../../shared/events/catalog";
import { consumeEvents, isTransient } from "../../shared/events/consumer";
import { sleep } from "../../shared/events/faults";
import { deleteMessage } from "../../shared/events/jetstream";
import { subscribeProgress } from "../../shared/events/publisher";
import type { Consumption } from "../../shared/events/pulls";
import { ALL_EVENTS, DURABLES, EVENTS_STREAM } from "../../shared/events/subjects";
import { endSearchTrace } from "../../shared/process/tracing/searchTrace";
import { SearchState, type Search } from "../../shared/proto/lathe/v1/search";
import { Devices } from "./devices";
import { DeviceWatch } from "./deviceWatch";
import type { SearchMetrics } from "./metrics";
import type { Projection } from "./projection";
import { ENDS, isEnd, isEnded } from "./record";
import { Sweep } from "./sweep";

/** How long a stop waits for a sweep under way: an outage of NATS would hold it for longer. */
const SWEEP_GRACE_MS = 5_000;

interface ConsumerOptions {
  /** Time between two sweeps; 30 s. */
  sweepMs?: number;
  /** Time between two looks for the workers of searches that need one; 2 s. */
  lookMs?: number;
  /** Delay before the first repetition of an event. */
  backoffMs?: number;
}

/**
 * Takes in every event of every search, and follows the progress messages of those that run. An event that can never be taken in fails
 * its search. After a transient error the event is dropped once its attempts are used up, and the sweep repairs the record from the
 * stream: the record loses nothing, and a fault that time heals fails no search.
 */
export async function consume(
  bus: Bus,
  projection: Projection,
  metrics: SearchMetrics,
  { sweepMs = 30_000, lookMs = 2_000, backoffMs = 250 }: ConsumerOptions = {},
): Promise<Consumption> {
  const sweep = new Sweep(bus, projection);
  const waiting = new DeviceWatch(new Devices(bus), projection, bus.logger);
  const following = new Map<string, () => void>();
  let stopped = false;
  const leave = (searchId: string) => {
    following.get(searchId)?.();
    following.delete(searchId);
    waiting.forget(searchId);
    metrics.remove(searchId);
  };
  const follow = (search: Search) => {
    if (isEnded(search)) return leave(search.id);
    metrics.show(search);
    waiting.note(search);
    if (stopped || following.has(search.id)) return;
    let pending = search.state === SearchState.SEARCH_STATE_PENDING;
    following.set(
      search.id,
      subscribeProgress(bus, search.id, () => {
        metrics.signOfLife(search.id, new Date());
        if (!pending) return;
        pending = false;
        projection.markBegun(search.id).catch((error: unknown) => {
          // The first event of the worker will mark it too.
          bus.logger.warn("a search could not be marked as begun", { searchId: search.id, error });
        });
      }),
    );
  };
  const sweepOnce = async () => {
    // Read before the sweep: a search that begins during it is in neither set.
    const followed = [...following.keys()];
    const { changed, open } = await sweep.run();
    changed.forEach(follow);
    for (const id of followed) if (!open.has(id)) leave(id);
  };
  let sweeping: Promise<void> | undefined;
  // One at a time: a sweep may take longer than the time between two. A failure must not stop the service.
  const sweepSoon = () =>
    (sweeping ??= sweepOnce()
      .catch((error: unknown) => bus.logger.warn("the searches could not be looked through", { error }))
      .finally(() => (sweeping = undefined)));

  // Not awaited: the start must not take longer for the searches that are stored.
  void sweepSoon();
  const consumption = await consumeEvents(bus, {
    durable: DURABLES.search,
    filter: ALL_EVENTS,
    backoffMs,
    handler: async (stored) => {
      const record = await projection.take(stored);
      if (record) {
        follow(record.search);
        traceEnd(record.search, stored);
      }
      metrics.count(stored);
    },
    onGivenUp: async ({ stored, searchId, sequence, error }) => {
      // The dead letters hold it: it is no event of the search that its subject may name, and must not meet the readers of its history.
      if (!stored) return deleteMessage(bus, EVENTS_STREAM, sequence);
      if (searchId === undefined) return;
      if (isTransient(error)) sweep.repairLater(searchId);
      else await projection.fail(searchId, error);
    },
  });
  const timer = setInterval(() => void sweepSoon(), sweepMs);
  const looks = setInterval(() => bus.status().connected && void waiting.look(), lookMs);
  return {
    stop: async () => {
      clearInterval(timer);
      clearInterval(looks);
      await consumption.stop();
      // A sweep under way still writes records.
      await Promise.race([sweeping, sleep(SWEEP_GRACE_MS)]);
      stopped = true;
      for (const searchId of [...following.keys()]) leave(searchId);
    },
  };
}

/** Exports the span of a whole search once an event has ended it. A second end changes nothing in the search, and exports no span. */
function traceEnd({ id, createdAt, resumptions, state }: Search, { event, time }: StoredEvent): void {
  if (!isEnd(event.type) || ENDS[event.type] !== state) return;
  // A failure that a resumption has followed ended its part of the trace.
  if (event.type === "search.failed" && event.data.resumption < resumptions) return;
  const start = createdAt ?? time;
  const attributes = { "lathe.outcome": event.type, "lathe.resumptions": resumptions };
  const failure = event.type === "search.failed" ? event.data : undefined;
  endSearchTrace(id, { start, end: time, attributes, ...(failure && { failure }) });
}
