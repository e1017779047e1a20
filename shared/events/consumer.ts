import { LatheError, type ErrorCode } from "../process/errors";
import { failed } from "../process/tracing/span";
import type { Bus } from "./bus";
import type { StoredEvent } from "./catalog";
import { bury } from "./deadLetters";
import { sleep } from "./faults";
import { readStored } from "./history";
import { Lanes, MAX_BEHIND_FAILING } from "./lanes";
import type { Delivery, DurableSettings } from "./pull";
import { runPulls, type Consumption, type InHand } from "./pulls";
import { EVENTS_STREAM, parseEventSubject } from "./subjects";
import { handling } from "./tracing";

/** An event whose handling is given up. */
export interface GivenUp {
  /** Undefined where the event cannot be read. */
  stored: StoredEvent | undefined;
  /** The search that the event's subject names; undefined where it names none. */
  searchId: string | undefined;
  sequence: number;
  where: string;
  error: LatheError;
  attempts: number;
}

interface EventConsumerOptions {
  durable: string;
  /** One filter subject (eventFilter, ALL_EVENTS). */
  filter: string;
  /**
   * The event is acknowledged after this has resolved. The signal aborts when the consumer stops or the lease is lost.
   * Two processes that share the durable may handle events of one search at once: the effect must not depend on their order.
   */
  handler: (stored: StoredEvent, context: { signal: AbortSignal; attempts: number }) => Promise<void>;
  /**
   * Called before the event is dropped, and after one that can never be handled has been stored among the dead letters: reports the
   * failure, or notes what has to be repaired.
   */
  onGivenUp: (givenUp: GivenUp) => Promise<void> | void;
  /** How often a handler is called for one event while it fails in a way that may heal; 5. */
  maxAttempts?: number;
  ackWaitMs?: number;
  /** Delay of the first repetition, doubled each time up to 30 s; 250 ms. */
  backoffMs?: number;
}

/** Errors that time may heal. */
const TRANSIENT: ReadonlySet<ErrorCode> = new Set([
  "UNAVAILABLE",
  "ABORTED",
  "DEADLINE_EXCEEDED",
  "RESOURCE_EXHAUSTED",
]);
const MAX_BACKOFF_MS = 30_000;
/** From this failed attempt on, the events behind the failing one are bounded. A short fault, such as a lost reply, drops none of them. */
const FAILING_FROM = 3;
/**
 * Deliveries of an event that may end without an acknowledgement while others are in hand. A process that dies costs each event in hand a
 * delivery, whichever of them killed it. From the next delivery on the event is therefore handled with no other in hand, until its handler
 * has failed once or the ack wait has passed.
 */
const MAX_SHARED_DELIVERIES = 5;
/**
 * An event that comes again after this many deliveries is given up: its process died of it, with no other in hand, or was stopped each
 * time.
 */
const MAX_DELIVERIES = 15;
/** Events in hand over all processes of a durable, including those that wait for their repetition. */
const MAX_IN_HAND = 256;
/** Reason of the failure of an event or a work item whose deliveries are used up. */
export const EXHAUSTED = "DELIVERIES_EXHAUSTED";
const CROWDED = "TOO_MANY_BEHIND_FAILING";
/** Failures of events whose handler was not called: to repeat them is of no use. */
const NOT_HANDLED: ReadonlySet<string> = new Set([EXHAUSTED, CROWDED]);

/** Whether time may heal the error. A message that is too large remains too large. */
export const isTransient = (error: LatheError) => TRANSIENT.has(error.code) && error.reason !== "PAYLOAD_TOO_LARGE";
/** Whether a failed handler is called again: after a transient error, an unexpected one, or an abort that nobody asked for. */
export const mayHeal = (error: LatheError) =>
  isTransient(error) || error.code === "INTERNAL" || error.code === "CANCELLED";
/** Whether the event itself is at fault, as far as can be told: it can never be handled, or its processes die of it. */
const isPoison = (error: LatheError) => !isTransient(error) || error.reason === EXHAUSTED;
/** Delay before the repetition that follows attempt number `attempts`. */
export const backoff = (firstMs: number, attempts: number) =>
  Math.min(MAX_BACKOFF_MS, firstMs * 2 ** Math.min(attempts - 1, 20));

/**
 * Hands each event that matches the filter to the handler. Events of one search are handled one after the other, in the order of the
 * stream; those of different searches side by side, so that a search whose event fails and is repeated does not hold up other searches.
 */
export async function consumeEvents(bus: Bus, options: EventConsumerOptions): Promise<Consumption> {
  const { durable, filter, handler, onGivenUp, maxAttempts = 5, ackWaitMs = 10_000, backoffMs = 250 } = options;
  const settings: DurableSettings = { stream: EVENTS_STREAM, durable, filter, ackWaitMs, maxAckPending: MAX_IN_HAND };
  const lanes = new Lanes();

  /** Reports the loss of an event. Returns whether the event may be dropped: its loss is reported, or can never be. */
  const giveUp = async (givenUp: GivenUp, message: Delivery): Promise<boolean> => {
    const { where, error, attempts } = givenUp;
    try {
      if (isPoison(error)) await bury(bus, { consumer: settings, message, error, attempts });
      await onGivenUp(givenUp);
    } catch (thrown) {
      const cause = LatheError.from(thrown);
      bus.logger.error("the loss of an event could not be reported", { durable, where, error: cause });
      // While NATS stores no message, a dropped event would leave its search waiting for ever.
      if (isTransient(cause) || attempts < 2 * maxAttempts) return false;
    }
    bus.counters.dropped++;
    bus.logger.error("event dropped", { durable, where, attempts, error });
    return true;
  };
  const settle = async (
    { delivery, stopping, lease, makeWay }: InHand,
    attempt: (attempts: number) => Promise<void>,
    stored?: StoredEvent,
  ): Promise<void> => {
    const { where } = delivery;
    for (let attempts = 1; ; attempts++) {
      // Another process may hold the event now.
      if (lease.lost.aborted) return;
      if (stopping.aborted) return delivery.nak(0);
      try {
        await attempt(attempts);
        return await delivery.ack();
      } catch (thrown) {
        const error = LatheError.from(thrown);
        if (lease.lost.aborted || stopping.aborted) continue;
        if (mayHeal(error) && attempts < maxAttempts && !NOT_HANDLED.has(error.reason)) {
          bus.logger.warn("event is handled again", { durable, where, attempts, error });
          if (attempts >= FAILING_FROM) lanes.failing(laneOf(delivery));
        } else if (await giveUp({ stored, ...placeOf(delivery), where, error, attempts }, delivery))
          return await delivery.term();
      }
      // The process has survived the attempt, and the repetitions last for as long as NATS is full.
      makeWay();
      await sleep(backoff(backoffMs, attempts), AbortSignal.any([stopping, lease.lost]));
    }
  };
  const handle = async (inHand: InHand): Promise<void> => {
    const { delivery, stopping, lease } = inHand;
    const stored = readStored(bus, delivery);
    if (!stored) {
      const text = `malformed envelope at ${delivery.where}`;
      const error = new LatheError("INVALID_ARGUMENT", text, { reason: "ENVELOPE_MALFORMED" });
      return settle(inHand, () => Promise.reject(error));
    }
    const signal = AbortSignal.any([stopping, lease.lost]);
    await handling(stored.searchId, `process ${stored.event.type}`, durable, delivery, (span) =>
      settle(
        inHand,
        async (attempts) => {
          try {
            if (delivery.deliveries > MAX_DELIVERIES) throw unfinished(delivery.where);
            await handler(stored, { signal, attempts });
          } catch (thrown) {
            failed(span, thrown);
            throw thrown;
          }
        },
        stored,
      ),
    );
  };
  const refuse = (inHand: InHand): Promise<void> => {
    const error = crowded(inHand.delivery.where);
    return settle(inHand, () => Promise.reject(error), readStored(bus, inHand.delivery));
  };
  return runPulls(
    bus,
    [settings],
    (inHand) => {
      const lane = laneOf(inHand.delivery);
      // It waits behind a repeated event of its search, and is not handled yet.
      if (inHand.delivery.deliveries > MAX_SHARED_DELIVERIES && lanes.busy(lane)) inHand.makeWay();
      return lanes.run(
        lane,
        () => handle(inHand),
        () => refuse(inHand),
      );
    },
    { aloneMs: ({ deliveries }) => (deliveries <= MAX_SHARED_DELIVERIES ? 0 : ackWaitMs) },
  );
}

const placeOf = ({ subject, sequence }: Delivery) => ({ searchId: parseEventSubject(subject)?.searchId, sequence });
/** An event of no search has a lane of its own: nothing waits behind it. */
const laneOf = (delivery: Delivery) => placeOf(delivery).searchId ?? delivery.where;

/** The event itself may be sound. */
function unfinished(where: string): LatheError {
  const text = `${where} was delivered ${MAX_DELIVERIES} times and never finished: its processes died or were stopped`;
  return new LatheError("ABORTED", text, { reason: EXHAUSTED });
}

/** The event itself may be sound. */
function crowded(where: string): LatheError {
  const text = `${where} was not handled: ${MAX_BEHIND_FAILING} events of its search wait behind one that fails`;
  return new LatheError("RESOURCE_EXHAUSTED", text, { reason: CROWDED });
}
