import type { Span } from "@opentelemetry/api";
import { LatheError } from "../process/errors";
import { failed } from "../process/tracing/span";
import type { Bus } from "./bus";
import type { WorkData } from "./catalog";
import { backoff, isTransient, runPulls, type Consumption, type InHand } from "./consumer";
import { decodeWork } from "./envelope";
import { sleep } from "./faults";
import type { Delivery } from "./pull";
import type { Quota } from "./quota";
import { Records } from "./records";
import { HANDBACKS_BUCKET, WORK_STREAM, workDurable, workSubject, type WorkKind } from "./subjects";
import { handling } from "./tracing";

/** A work item as its worker sees it. */
export interface WorkItem<K extends WorkKind> {
  id: string;
  searchId: string;
  kind: K;
  data: WorkData<K>;
}

/** "done": remove it. "hand-back": another may take it at once, and no delivery is counted. Else: again after a while. */
export type WorkOutcome = "done" | "hand-back" | { retryAfterMs: number };

export interface WorkerOptions<K extends WorkKind> {
  kind: K;
  /** Of the profile queue. */
  deviceClass?: string;
  /**
   * The item is acknowledged after "done". The signal aborts when the worker stops (reason STOPPING: hand back) or the lease is lost (reason LEASE_LOST: another
   * may be at it already, write nothing more). A throw is a failed delivery: a transient error or an unexpected one comes again, any other ends the item.
   * Where NATS has no room (STORAGE_FULL) the handler is called again within the delivery, for as long as that failure cannot be stored either.
   */
  handler: (work: WorkItem<K>, context: { signal: AbortSignal; deliveries: number }) => Promise<WorkOutcome>;
  /** The item cannot be carried out: told before it is removed; where this throws, the item comes again. `work` is undefined when it cannot even be read. */
  onExhausted: (failure: { work: WorkItem<K> | undefined; deliveries: number; error: LatheError }) => Promise<void>;
  /** Deliveries that may fail, by a throw or by a worker that died; 5. */
  maxDeliveries?: number;
  /** Silence after which a worker is taken for dead; 60 s. The worker's word goes out four times as often, on its own. */
  ackWaitMs?: number;
  backoffMs?: number;
  /** Of the process: past it no item is taken. */
  quota?: Quota;
}

/** Takes one work item at a time, until stopped. Start it again, or several times, for more at once. */
export async function takeWork<K extends WorkKind>(bus: Bus, options: WorkerOptions<K>): Promise<Consumption> {
  const { kind, deviceClass, handler, onExhausted, maxDeliveries = 5, ackWaitMs = 60_000, backoffMs = 1000 } = options;
  const { quota } = options;
  const settings = {
    stream: WORK_STREAM,
    durable: workDurable(kind, deviceClass),
    filter: workSubject(kind, deviceClass),
    ackWaitMs,
    maxAckPending: 1000,
  };
  const handbacks = new Records<number>(bus, HANDBACKS_BUCKET, { toJSON: (count) => count, fromJSON: Number });

  const give = async (delivery: Delivery, work: WorkItem<K>) => {
    // The server counts every delivery; those that end well are taken off again.
    await handbacks
      .mutate(handbackKey(work.id), (count) => (count ?? 0) + 1)
      .catch((error: unknown) => {
        bus.logger.warn("a hand-back counts as a failed delivery", { work: work.id, error });
      });
    delivery.nak(0);
  };
  const told = async (work: WorkItem<K> | undefined, deliveries: number, error: LatheError, where: string) => {
    bus.logger.error("work item given up", { where, work: work?.id, deliveries, error });
    try {
      await onExhausted({ work, deliveries, error });
      return true;
    } catch (thrown) {
      bus.logger.error("the end of a work item could not be told", { work: work?.id, error: thrown });
      return false;
    }
  };
  const remove = async (delivery: Delivery, work: WorkItem<K> | undefined) => {
    await delivery.term();
    if (work) await handbacks.delete(handbackKey(work.id));
  };
  const drop = async (delivery: Delivery, work: WorkItem<K> | undefined, deliveries: number, error: LatheError) => {
    if (await told(work, deliveries, error, delivery.where)) await remove(delivery, work);
    else delivery.nak(backoff(backoffMs, deliveries));
  };
  /** The handler's outcome, called again where NATS had no room; "told": that has been told as the item's end. */
  const carryOut = async (
    work: WorkItem<K>,
    where: string,
    context: { signal: AbortSignal; deliveries: number },
  ): Promise<WorkOutcome | "told"> => {
    for (let attempt = 1; ; attempt++) {
      try {
        return await handler(work, context);
      } catch (thrown) {
        const error = LatheError.from(thrown);
        if (error.reason !== "STORAGE_FULL" || context.signal.aborted) throw error;
        if (attempt >= maxDeliveries && (await told(work, attempt, error, where))) return "told";
        bus.logger.warn("work item waits for room", { work: work.id, attempt, error });
        await sleep(backoff(backoffMs, attempt), context.signal);
        if (context.signal.aborted) throw error;
      }
    }
  };

  const settle = async (work: WorkItem<K>, { delivery, stopping, lease }: InHand, span: Span): Promise<void> => {
    const handedBack = delivery.deliveries > 1 ? ((await handbacks.get(handbackKey(work.id)))?.value ?? 0) : 0;
    const deliveries = delivery.deliveries - handedBack;
    if (deliveries > maxDeliveries) {
      const text = `work item ${work.id} was taken ${maxDeliveries} times and never finished: its workers died or lost their lease`;
      return drop(delivery, work, deliveries - 1, new LatheError("ABORTED", text, { reason: "DELIVERIES_EXHAUSTED" }));
    }
    let outcome: WorkOutcome | "told";
    try {
      const signal = AbortSignal.any([stopping, lease.lost]);
      outcome = await carryOut(work, delivery.where, { signal, deliveries });
    } catch (thrown) {
      const error = LatheError.from(thrown);
      failed(span, error);
      // Another may hold it now, and whatever is said of the message would be said of theirs.
      if (lease.lost.aborted) return bus.logger.warn("work item left to another", { work: work.id, error });
      if (stopping.aborted || error.code === "CANCELLED") return give(delivery, work);
      const mayHeal = isTransient(error) || error.code === "INTERNAL";
      if (!mayHeal || deliveries >= maxDeliveries) return drop(delivery, work, deliveries, error);
      bus.logger.warn("work item comes again", { work: work.id, deliveries, error });
      return delivery.nak(backoff(backoffMs, deliveries));
    }
    if (lease.lost.aborted) return bus.logger.warn("work item left to another", { work: work.id, outcome });
    if (outcome === "told") return remove(delivery, work);
    if (outcome === "hand-back") return give(delivery, work);
    if (outcome !== "done") return delivery.nak(outcome.retryAfterMs);
    await delivery.ack();
    if (delivery.deliveries > 1) await handbacks.delete(handbackKey(work.id));
  };

  const handle = async (inHand: InHand) => {
    const { delivery } = inHand;
    let work: WorkItem<K>;
    try {
      work = { kind, ...decodeWork(kind, delivery.data, delivery.where) };
    } catch (thrown) {
      bus.counters.malformed++;
      return drop(delivery, undefined, delivery.deliveries, LatheError.from(thrown));
    }
    // Two queues can have an item each before the first of them fills the quota.
    if (quota?.take() === false) return give(delivery, work);
    try {
      const name = `work ${kind}`;
      await handling(work.searchId, name, settings.durable, delivery, (span) => settle(work, inHand, span));
    } finally {
      quota?.settle();
    }
  };
  return runPulls(bus, settings, handle, quota?.full);
}

/** ":" is not allowed in a record's key. */
const handbackKey = (id: string) => id.replaceAll(":", "/");
