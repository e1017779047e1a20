import type { Span } from "@opentelemetry/api";
import { LatheError } from "../process/errors";
import { failed } from "../process/tracing/span";
import type { Bus } from "./bus";
import type { WorkData } from "./catalog";
import { backoff, EXHAUSTED, mayHeal } from "./consumer";
import { decodeWork } from "./envelope";
import { sleep } from "./faults";
import type { Delivery, DurableSettings } from "./pull";
import { runPulls, type Consumption, type InHand } from "./pulls";
import type { Quota } from "./quota";
import { Records } from "./records";
import { HANDBACKS_BUCKET, WORK_STREAM, queueFilter, workDurable, type WorkKind } from "./subjects";
import { handling } from "./tracing";

/** A work item as its worker sees it. */
export interface WorkItem<K extends WorkKind> {
  id: string;
  searchId: string;
  kind: K;
  data: WorkData<K>;
}

interface WorkQueue<K extends WorkKind> {
  kind: K;
  /** Only for the profile queue. */
  deviceClass?: string;
}

/** How work items are taken from their queues. */
export interface TakeOptions<K extends WorkKind> {
  /** One item at a time is pulled, over all queues, so that its worker can begin it at once. */
  queues: readonly WorkQueue<K>[];
  /** How many deliveries of an item may fail, by a throw or by the death of the worker; 3. */
  maxDeliveries?: number;
  /** After this time without a sign of life an item goes to another worker; 60 s. A working worker sends four signs in this time. */
  ackWaitMs?: number;
  backoffMs?: number;
  /**
   * Waits until this process can begin an item, or its argument aborts; no item is pulled before, nor after the returned signal has aborted.
   * By default an item is pulled whenever none is in hand.
   */
  free?: (signal: AbortSignal) => Promise<AbortSignal>;
  /** How many items the process takes before it ends; unlimited by default. */
  quota?: Quota | undefined;
}

interface WorkOptions<K extends WorkKind> extends TakeOptions<K> {
  /**
   * The item is acknowledged after this has resolved. The signal aborts when the worker stops (reason STOPPING) or the lease is lost
   * (reason LEASE_LOST: another worker may have begun the item, write nothing more). A throw after either gives the item back, which
   * counts as no delivery. Any other throw is a failed delivery: after a transient or unexpected error the item is delivered again, any
   * other error ends it. Where NATS has no room (STORAGE_FULL) the handler is called again within the delivery, until its failure can be
   * stored.
   */
  handler: (work: WorkItem<K>, context: { signal: AbortSignal; deliveries: number }) => Promise<void>;
  /**
   * Called before an item that cannot be carried out is removed; where this throws, the item is delivered again. `work` is undefined
   * where it cannot be read.
   */
  onExhausted: (failure: { work: WorkItem<K> | undefined; deliveries: number; error: LatheError }) => Promise<void>;
}

/** How often the hand-backs of an item are read before it goes back to the queue: for some 6 min, with a delay of at most 30 s. */
const MAX_READS = 16;
const toCount = (value: unknown): number => {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0) throw new Error("must be a count");
  return value;
};

/** Takes work items, one at a time, until stopped. */
export async function takeWork<K extends WorkKind>(bus: Bus, options: WorkOptions<K>): Promise<Consumption> {
  const { handler, onExhausted, maxDeliveries = 3, ackWaitMs = 60_000, backoffMs = 1000, quota, free } = options;
  const kinds = new Map<DurableSettings, K>();
  for (const { kind, deviceClass } of options.queues) {
    const durable = workDurable(kind, deviceClass);
    const filter = queueFilter(kind, deviceClass);
    kinds.set({ stream: WORK_STREAM, durable, filter, ackWaitMs, maxAckPending: 1000 }, kind);
  }
  const handbacks = new Records<number>(bus, HANDBACKS_BUCKET, { toJSON: toCount, fromJSON: toCount });

  const read = (queue: DurableSettings, delivery: Delivery): WorkItem<K> => {
    const kind = kinds.get(queue);
    if (!kind) throw new LatheError("INTERNAL", `${queue.durable} is not a queue of this worker`);
    return { kind, ...decodeWork(kind, delivery.data, delivery.where) };
  };
  /** Gives an item back to be taken at once, without a charge: the server counts every delivery, so the hand-back is subtracted later. */
  const give = async (delivery: Delivery, work: WorkItem<K>) => {
    try {
      await handbacks.mutate(handbackKey(work.id), (count) => (count ?? 0) + 1);
      delivery.nak(0);
    } catch (error) {
      bus.logger.warn("a hand-back counts as a failed delivery", { work: work.id, error });
      delivery.nak(backoff(backoffMs, delivery.deliveries));
    }
  };
  const giveLate = (queue: DurableSettings, delivery: Delivery) => {
    try {
      void give(delivery, read(queue, delivery));
    } catch {
      // The worker that takes the item next reports that it cannot be read.
      delivery.nak(backoff(backoffMs, delivery.deliveries));
    }
  };
  /** Deliveries of an item, hand-backs left out; undefined where the hand-backs cannot be read, or `signal` aborts before. */
  const charged = async (delivery: Delivery, work: WorkItem<K>, signal: AbortSignal): Promise<number | undefined> => {
    if (delivery.deliveries === 1) return 1;
    for (let attempt = 1; !signal.aborted && attempt <= MAX_READS; attempt++) {
      try {
        return delivery.deliveries - ((await handbacks.get(handbackKey(work.id)))?.value ?? 0);
      } catch (error) {
        bus.logger.warn("a work item waits: its hand-backs cannot be read", { work: work.id, attempt, error });
        if (LatheError.from(error).reason === "RECORD_MALFORMED") return delivery.deliveries;
        // The item stays in hand: each give-back whose count cannot be stored would be charged to it.
        await sleep(backoff(backoffMs, attempt), signal);
      }
    }
    return undefined;
  };
  const reported = async (work: WorkItem<K> | undefined, deliveries: number, error: LatheError, where: string) => {
    bus.logger.error("work item given up", { where, work: work?.id, deliveries, error });
    try {
      await onExhausted({ work, deliveries, error });
      return true;
    } catch (thrown) {
      bus.logger.error("the end of a work item could not be reported", { work: work?.id, error: thrown });
      return false;
    }
  };
  const remove = async (delivery: Delivery, work: WorkItem<K> | undefined) => {
    await delivery.term();
    if (work) await handbacks.delete(handbackKey(work.id));
  };
  const drop = async (delivery: Delivery, work: WorkItem<K> | undefined, deliveries: number, error: LatheError) => {
    if (await reported(work, deliveries, error, delivery.where)) await remove(delivery, work);
    else delivery.nak(backoff(backoffMs, deliveries));
  };
  /** Calls the handler, again where NATS had no room. Returns "reported" where the failure has been published, which ends the item. */
  const carryOut = async (
    work: WorkItem<K>,
    where: string,
    context: { signal: AbortSignal; deliveries: number },
  ): Promise<"done" | "reported"> => {
    for (let attempt = 1; ; attempt++) {
      try {
        await handler(work, context);
        return "done";
      } catch (thrown) {
        const error = LatheError.from(thrown);
        if (error.reason !== "STORAGE_FULL" || context.signal.aborted) throw error;
        if (attempt >= maxDeliveries && (await reported(work, attempt, error, where))) return "reported";
        bus.logger.warn("work item waits for room", { work: work.id, attempt, error });
        await sleep(backoff(backoffMs, attempt), context.signal);
        if (context.signal.aborted) throw error;
      }
    }
  };

  const settle = async (work: WorkItem<K>, { delivery, stopping, lease }: InHand, span: Span): Promise<void> => {
    const signal = AbortSignal.any([stopping, lease.lost]);
    const deliveries = await charged(delivery, work, signal);
    if (deliveries === undefined) return lease.lost.aborted ? undefined : give(delivery, work);
    if (deliveries > maxDeliveries) {
      const text = `work item ${work.id} was taken ${maxDeliveries} times and never finished: its workers died or lost their lease`;
      return drop(delivery, work, deliveries - 1, new LatheError("ABORTED", text, { reason: EXHAUSTED }));
    }
    let outcome: "done" | "reported";
    try {
      outcome = await carryOut(work, delivery.where, { signal, deliveries });
    } catch (thrown) {
      const error = LatheError.from(thrown);
      failed(span, error);
      // Another worker may hold the item now. An answer of this one would settle the delivery of the other.
      if (lease.lost.aborted) return bus.logger.warn("work item left to another", { work: work.id, error });
      if (stopping.aborted) return give(delivery, work);
      if (!mayHeal(error) || deliveries >= maxDeliveries) return drop(delivery, work, deliveries, error);
      bus.logger.warn("work item comes again", { work: work.id, deliveries, error });
      return delivery.nak(backoff(backoffMs, deliveries));
    }
    if (lease.lost.aborted) return bus.logger.warn("work item left to another", { work: work.id, outcome });
    if (outcome === "reported") return remove(delivery, work);
    await delivery.ack();
    if (delivery.deliveries > 1) await handbacks.delete(handbackKey(work.id));
  };

  const handle = async (inHand: InHand) => {
    const { delivery, queue } = inHand;
    let work: WorkItem<K>;
    try {
      work = read(queue, delivery);
    } catch (thrown) {
      bus.counters.malformed++;
      return drop(delivery, undefined, delivery.deliveries, LatheError.from(thrown));
    }
    quota?.take();
    try {
      await handling(work.searchId, `work ${work.kind}`, queue.durable, delivery, (span) => settle(work, inHand, span));
    } finally {
      quota?.settle();
    }
  };
  return runPulls(bus, [...kinds.keys()], handle, { onLate: giveLate, enough: quota?.full, free });
}

/** ":" is not allowed in a record's key. */
const handbackKey = (id: string) => id.replaceAll(":", "/");
