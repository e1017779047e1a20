import { LatheError, type ErrorCode } from "../process/errors";
import { failed } from "../process/tracing/span";
import type { Bus } from "./bus";
import type { StoredEvent } from "./catalog";
import { sleep } from "./faults";
import { readStored } from "./history";
import { Lease, ensureDurable, pullOne, type Delivery, type DurableSettings } from "./pull";
import { EVENTS_STREAM } from "./subjects";
import { handling } from "./tracing";

export interface EventConsumerOptions {
  durable: string;
  /** One filter subject (eventFilter, ALL_EVENTS). */
  filter: string;
  /** The event is acknowledged after this has resolved. The signal aborts when the consumer stops or the lease is lost. */
  handler: (stored: StoredEvent, context: { signal: AbortSignal; deliveries: number }) => Promise<void>;
  /** Told of an event that no repetition can help, before it is dropped; where this throws, the event comes again. */
  onPoison: (poison: {
    stored: StoredEvent | undefined;
    where: string;
    error: LatheError;
    deliveries: number;
  }) => Promise<void> | void;
  /** Deliveries of an event whose handler throws something unexpected; 5. */
  maxDeliveries?: number;
  ackWaitMs?: number;
  /** First delay of a repetition, doubled each time up to 30 s; 250 ms. */
  backoffMs?: number;
}

/** What runs until stop(), which waits for the handler in hand. */
export interface Consumption {
  stop(): Promise<void>;
}

/** Errors that time may heal: repeated without an end. */
const TRANSIENT: ReadonlySet<ErrorCode> = new Set([
  "UNAVAILABLE",
  "ABORTED",
  "DEADLINE_EXCEEDED",
  "RESOURCE_EXHAUSTED",
]);
const MAX_BACKOFF_MS = 30_000;

export const isTransient = (error: LatheError) => TRANSIENT.has(error.code);
export const backoff = (firstMs: number, deliveries: number) =>
  Math.min(MAX_BACKOFF_MS, firstMs * 2 ** Math.min(deliveries - 1, 20));

/** Hands each event that matches to the handler, one after another in stream order over all processes of this durable. */
export async function consumeEvents(bus: Bus, options: EventConsumerOptions): Promise<Consumption> {
  const { durable, filter, handler, onPoison, maxDeliveries = 5, ackWaitMs = 10_000, backoffMs = 250 } = options;
  // One delivery in flight, also while it waits for its repetition: that is what keeps the order.
  const settings: DurableSettings = { stream: EVENTS_STREAM, durable, filter, ackWaitMs, maxAckPending: 1 };
  const fail = async (
    { delivery, stopping, lease }: InHand,
    stored: StoredEvent | undefined,
    error: LatheError,
  ): Promise<void> => {
    if (lease.lost.aborted) return;
    if (stopping.aborted) return delivery.nak(0);
    const { deliveries, where } = delivery;
    if (isTransient(error) || error.code === "CANCELLED" || (error.code === "INTERNAL" && deliveries < maxDeliveries)) {
      bus.logger.warn("event comes again", { durable, where, deliveries, error });
      return delivery.nak(backoff(backoffMs, deliveries));
    }
    bus.logger.error("event dropped", { durable, where, deliveries, error });
    try {
      await onPoison({ stored, where, error, deliveries });
    } catch (thrown) {
      bus.logger.error("the loss of an event could not be told", { durable, where, error: thrown });
      return delivery.nak(backoff(backoffMs, deliveries));
    }
    await delivery.term();
  };
  return runPulls(bus, settings, async (inHand) => {
    const { delivery, stopping, lease } = inHand;
    const stored = readStored(bus, delivery);
    if (!stored) {
      const text = `malformed envelope at ${delivery.where}`;
      return fail(inHand, undefined, new LatheError("INVALID_ARGUMENT", text, { reason: "ENVELOPE_MALFORMED" }));
    }
    const context = { signal: AbortSignal.any([stopping, lease.lost]), deliveries: delivery.deliveries };
    await handling(stored.searchId, `process ${stored.event.type}`, durable, delivery, async (span) => {
      try {
        await handler(stored, context);
        await delivery.ack();
      } catch (thrown) {
        failed(span, thrown);
        await fail(inHand, stored, LatheError.from(thrown));
      }
    });
  });
}

/** A delivery that is being handled; `stopping`: of its consumer. */
export interface InHand {
  delivery: Delivery;
  stopping: AbortSignal;
  lease: Lease;
}

/**
 * Pulls one delivery after another until stopped, or until `enough`, which leaves the one in hand alone; whatever goes wrong with the
 * durable, it is made again and pulled from.
 */
export async function runPulls(
  bus: Bus,
  settings: DurableSettings,
  handle: (inHand: InHand) => Promise<void>,
  enough?: AbortSignal,
): Promise<Consumption> {
  await ensureDurable(bus, settings);
  const stop = new AbortController();
  const { durable } = settings;
  const idle = (change: 1 | -1) => bus.idle.set(durable, (bus.idle.get(durable) ?? 0) + change);
  idle(1);
  const noMore = enough ? AbortSignal.any([stop.signal, enough]) : stop.signal;
  const run = async () => {
    let failures = 0;
    while (!noMore.aborted && !bus.connection.isClosed()) {
      try {
        if (failures > 0) await ensureDurable(bus, settings);
        const delivery = await pullOne(bus, settings, noMore);
        failures = 0;
        if (!delivery) continue;
        if (delivery.deliveries > 1) bus.counters.redeliveries++;
        const lease = new Lease(delivery, settings.ackWaitMs, () => bus.counters.leasesLost++);
        idle(-1);
        try {
          await handle({ delivery, stopping: stop.signal, lease });
        } finally {
          idle(1);
          lease.end();
        }
      } catch (error) {
        failures++;
        bus.logger.warn("consumer stumbled", { durable, failures, error });
        await sleep(Math.min(5000, 100 * 2 ** failures), noMore);
      }
    }
    idle(-1);
  };
  const running = run();
  return {
    stop: async () => {
      stop.abort(new LatheError("CANCELLED", `consumer ${settings.durable} is stopping`, { reason: "STOPPING" }));
      await running;
    },
  };
}
