import { randomUUID } from "node:crypto";
import type { Span } from "@opentelemetry/api";
import { LatheError } from "../process/errors";
import { failed } from "../process/tracing/span";
import { Attempts } from "./attempts";
import type { Bus } from "./bus";
import type { WorkData } from "./catalog";
import { backoff, EXHAUSTED, mayHeal } from "./consumer";
import { bury } from "./deadLetters";
import { decodeWork } from "./envelope";
import { sleep } from "./faults";
import type { Delivery, DurableSettings } from "./pull";
import { runPulls, type Consumption, type InHand } from "./pulls";
import type { Quota } from "./quota";
import { WORK_STREAM, queueFilter, workDurable, type WorkKind } from "./subjects";
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
  /** How many attempts of an item may fail one after another without progress, by a throw or by the death of the worker; 3. */
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

/** The time for which an item is given back. */
export interface Wait {
  waitMs: number;
}

interface WorkContext {
  signal: AbortSignal;
  /** Attempts since the newest result, this one included. */
  deliveries: number;
  /** Waits since the newest result. */
  waits: number;
}

interface WorkOptions<K extends WorkKind> extends TakeOptions<K> {
  /**
   * A number that grows with each result that the work on an item has stored, 0 before the first. Attempts before the newest result do
   * not count as failed. By default an item stores nothing before its end.
   */
  progress?: ((work: WorkItem<K>) => Promise<number>) | undefined;
  /**
   * The item is acknowledged after this has resolved. The signal aborts when the worker stops (reason STOPPING) or the lease is lost
   * (reason LEASE_LOST: another worker may have begun the item, write nothing more). A throw after either gives the item back, which
   * counts as no attempt. Any other throw is a failed attempt: after a transient or unexpected error the item is delivered again, any
   * other error ends it. Where NATS has no room (STORAGE_FULL) the handler is called again within the delivery, until its failure can be
   * stored. A handler that returns a wait gives the item back, to come again after it; this counts as no attempt.
   */
  handler: (work: WorkItem<K>, context: WorkContext) => Promise<Wait | void>;
  /** Called before an item that cannot be carried out is removed; where this throws, the item is delivered again. */
  onExhausted: (failure: { work: WorkItem<K>; deliveries: number; error: LatheError }) => Promise<void>;
}

/** Takes work items, one at a time, until stopped. */
export async function takeWork<K extends WorkKind>(bus: Bus, options: WorkOptions<K>): Promise<Consumption> {
  const { handler, onExhausted, maxDeliveries = 3, ackWaitMs = 60_000, backoffMs = 1000, quota, free } = options;
  const { progress = () => Promise.resolve(0) } = options;
  const kinds = new Map<DurableSettings, K>();
  for (const { kind, deviceClass } of options.queues) {
    const durable = workDurable(kind, deviceClass);
    const filter = queueFilter(kind, deviceClass);
    kinds.set({ stream: WORK_STREAM, durable, filter, ackWaitMs, maxAckPending: 1000 }, kind);
  }
  const attempts = new Attempts(bus, maxDeliveries, backoffMs);

  const read = (queue: DurableSettings, delivery: Delivery): WorkItem<K> => {
    const kind = kinds.get(queue);
    if (!kind) throw new LatheError("INTERNAL", `${queue.durable} is not a queue of this worker`);
    return { kind, ...decodeWork(kind, delivery.data, delivery.where) };
  };
  /** The progress of an item where it is newer than `before`; undefined where it is not, or is not known. */
  const progressSince = async (work: WorkItem<K>, before: number): Promise<number | undefined> => {
    const made = await progress(work).catch((error: unknown) => {
      bus.logger.warn("the progress of a work item is not known", { work: work.id, error });
      return before;
    });
    return made > before ? made : undefined;
  };
  const reported = async (work: WorkItem<K>, deliveries: number, error: LatheError, where: string) => {
    bus.logger.error("work item given up", { where, work: work.id, deliveries, error });
    try {
      await onExhausted({ work, deliveries, error });
      return true;
    } catch (thrown) {
      bus.logger.error("the end of a work item could not be reported", { work: work.id, error: thrown });
      return false;
    }
  };
  const remove = async (delivery: Delivery, work: WorkItem<K>) => {
    await delivery.term();
    await attempts.forget(work.id);
  };
  const drop = async (delivery: Delivery, work: WorkItem<K>, deliveries: number, error: LatheError) => {
    if (await reported(work, deliveries, error, delivery.where)) await remove(delivery, work);
    else delivery.nak(backoff(backoffMs, deliveries));
  };
  /**
   * Calls the handler, again where NATS had no room. Returns "reported" where the failure has been published, which ends the item, and the
   * wait of an item that is to wait.
   */
  const carryOut = async (
    work: WorkItem<K>,
    where: string,
    context: WorkContext,
    before: number,
  ): Promise<"done" | "reported" | Wait> => {
    for (let attempt = 1, made = before; ; attempt++) {
      try {
        return (await handler(work, context)) ?? "done";
      } catch (thrown) {
        const error = LatheError.from(thrown);
        if (error.reason !== "STORAGE_FULL" || context.signal.aborted) throw error;
        const since = await progressSince(work, made);
        if (since !== undefined) [attempt, made] = [1, since];
        if (attempt >= maxDeliveries && (await reported(work, attempt, error, where))) return "reported";
        bus.logger.warn("work item waits for room", { work: work.id, attempt, error });
        await sleep(backoff(backoffMs, attempt), context.signal);
        if (context.signal.aborted) throw error;
      }
    }
  };

  const settle = async (work: WorkItem<K>, { delivery, stopping, lease }: InHand, span: Span): Promise<void> => {
    const signal = AbortSignal.any([stopping, lease.lost]);
    const attempt = randomUUID();
    /** Another worker may hold the item now. An answer of this one would settle the delivery of the other. */
    const leave = async (why: object) => {
      bus.logger.warn("work item left to another", { work: work.id, ...why });
      await attempts.takeBackPatiently(work.id, attempt, stopping);
    };
    /** Gives the item back to be taken at once, without a charge. */
    const give = async () =>
      delivery.nak((await attempts.takeBack(work.id, attempt)) ? 0 : backoff(backoffMs, delivery.deliveries));
    const item = { id: work.id, deliveries: delivery.deliveries, progressSince: progressSince.bind(undefined, work) };
    const charge = await attempts.begin(item, attempt, signal);
    if (charge === undefined) return lease.lost.aborted ? leave({}) : give();
    const { attempts: deliveries, waits, progress: made } = charge;
    if (deliveries > maxDeliveries) {
      const text = `work item ${work.id} was taken ${maxDeliveries} times without progress and never finished: its workers died`;
      return drop(delivery, work, deliveries - 1, new LatheError("ABORTED", text, { reason: EXHAUSTED }));
    }
    let outcome: "done" | "reported" | Wait;
    try {
      outcome = await carryOut(work, delivery.where, { signal, deliveries, waits }, made);
    } catch (thrown) {
      const error = LatheError.from(thrown);
      failed(span, error);
      if (lease.lost.aborted) return leave({ error });
      if (stopping.aborted) return give();
      const last = deliveries >= maxDeliveries && (await progressSince(work, made)) === undefined;
      if (!mayHeal(error) || last) return drop(delivery, work, deliveries, error);
      bus.logger.warn("work item comes again", { work: work.id, deliveries, error });
      return delivery.nak(backoff(backoffMs, deliveries));
    }
    if (lease.lost.aborted) return leave({ outcome });
    if (outcome === "reported") return remove(delivery, work);
    if (outcome !== "done") {
      await attempts.takeBack(work.id, attempt, 1);
      return delivery.nak(outcome.waitMs);
    }
    await delivery.ack();
    await attempts.forget(work.id);
  };

  /** Moves an item that cannot be read to the dead letters. */
  const discard = async ({ delivery, queue: consumer }: InHand, error: LatheError): Promise<void> => {
    const { where, deliveries } = delivery;
    try {
      await bury(bus, { consumer, message: delivery, error, attempts: deliveries });
      await delivery.term();
    } catch (cause) {
      bus.logger.error("an unreadable work item could not be moved to the dead letters", { where, error: cause });
      delivery.nak(backoff(backoffMs, deliveries));
    }
  };

  const handle = async (inHand: InHand) => {
    const { delivery, queue } = inHand;
    let work: WorkItem<K>;
    try {
      work = read(queue, delivery);
    } catch (thrown) {
      bus.counters.malformed++;
      return discard(inHand, LatheError.from(thrown));
    }
    quota?.take();
    try {
      await handling(work.searchId, `work ${work.kind}`, queue.durable, delivery, (span) => settle(work, inHand, span));
    } finally {
      quota?.settle();
    }
  };
  return runPulls(bus, [...kinds.keys()], handle, { enough: quota?.full, free });
}
