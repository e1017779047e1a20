import { LatheError, type ErrorCode } from "../process/errors";
import { failed } from "../process/tracing/span";
import type { Bus } from "./bus";
import type { StoredEvent } from "./catalog";
import { sleep } from "./faults";
import { readStored } from "./history";
import type { Delivery, DurableSettings } from "./pull";
import { runPulls, type Consumption, type InHand } from "./pulls";
import { EVENTS_STREAM, parseEventSubject } from "./subjects";
import { handling } from "./tracing";

/** An event whose handling is given up. */
interface GivenUp {
  /** Undefined where the event cannot be read. */
  stored: StoredEvent | undefined;
  /** By the event's subject; undefined where that names no search. */
  searchId: string | undefined;
  where: string;
  error: LatheError;
  attempts: number;
}

export interface EventConsumerOptions {
  durable: string;
  /** One filter subject (eventFilter, ALL_EVENTS). */
  filter: string;
  /**
   * The event is acknowledged after this has resolved. The signal aborts when the consumer stops or the lease is lost.
   * Where several processes share the durable, two of them may handle events of one search at once: the effect must not depend on their order.
   */
  handler: (stored: StoredEvent, context: { signal: AbortSignal; attempts: number }) => Promise<void>;
  /** Called before the event is dropped: names the failure, or notes what has to be repaired. */
  onGivenUp: (givenUp: GivenUp) => Promise<void> | void;
  /** How often an event is handled whose handler fails in a way that may heal; 5. */
  maxAttempts?: number;
  ackWaitMs?: number;
  /** First delay of a repetition, doubled each time up to 30 s; 250 ms. */
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
/** Deliveries of an event that end without a word: its process died each time. A stop in order counts too, so there are more of them than attempts. */
const MAX_DELIVERIES = 10;
/** Events in hand over all processes of a durable, those included that wait for their repetition. */
const MAX_IN_HAND = 256;
/** Reason of the failure of an event or a work item whose deliveries are used up. */
export const EXHAUSTED = "DELIVERIES_EXHAUSTED";

/** Whether a repetition may succeed. A message that is too large stays so. */
export const isTransient = (error: LatheError) => TRANSIENT.has(error.code) && error.reason !== "PAYLOAD_TOO_LARGE";
/** Whether a handler's failure deserves a repetition: a transient one, a fault of ours, or an abort that nobody asked for. */
export const mayHeal = (error: LatheError) =>
  isTransient(error) || error.code === "INTERNAL" || error.code === "CANCELLED";
export const backoff = (firstMs: number, attempts: number) =>
  Math.min(MAX_BACKOFF_MS, firstMs * 2 ** Math.min(attempts - 1, 20));

/**
 * Hands each event that matches to the handler. Events of one search follow each other in the order of the stream; those of different
 * searches are handled side by side, so that a search whose event fails, and is repeated, holds up no other.
 */
export async function consumeEvents(bus: Bus, options: EventConsumerOptions): Promise<Consumption> {
  const { durable, filter, handler, onGivenUp, maxAttempts = 5, ackWaitMs = 10_000, backoffMs = 250 } = options;
  const settings: DurableSettings = { stream: EVENTS_STREAM, durable, filter, ackWaitMs, maxAckPending: MAX_IN_HAND };
  const lanes = new Lanes();

  /** Whether the event may be dropped: its end is known, or can never be. */
  const giveUp = async (givenUp: GivenUp): Promise<boolean> => {
    const { where, error, attempts } = givenUp;
    try {
      await onGivenUp(givenUp);
    } catch (thrown) {
      const cause = LatheError.from(thrown);
      bus.logger.error("the loss of an event could not be reported", { durable, where, error: cause });
      // While NATS takes no message, dropping the event would leave its search waiting without a word.
      if (isTransient(cause) || attempts < 2 * maxAttempts) return false;
    }
    bus.counters.dropped++;
    bus.logger.error("event dropped", { durable, where, attempts, error });
    return true;
  };
  const settle = async (
    { delivery, stopping, lease }: InHand,
    attempt: (attempts: number) => Promise<void>,
    stored?: StoredEvent,
  ): Promise<void> => {
    const { where } = delivery;
    for (let attempts = 1; ; attempts++) {
      // Another process may hold it now.
      if (lease.lost.aborted) return;
      if (stopping.aborted) return delivery.nak(0);
      try {
        await attempt(attempts);
        return await delivery.ack();
      } catch (thrown) {
        const error = LatheError.from(thrown);
        if (lease.lost.aborted || stopping.aborted) continue;
        // An event whose deliveries are used up is not handled, so that repeating it is of no use.
        if (mayHeal(error) && attempts < maxAttempts && error.reason !== EXHAUSTED) {
          bus.logger.warn("event is handled again", { durable, where, attempts, error });
        } else if (await giveUp({ stored, searchId: searchOf(delivery), where, error, attempts }))
          return await delivery.term();
      }
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
  const byLane = (inHand: InHand) => lanes.run(searchOf(inHand.delivery) ?? "", () => handle(inHand));
  return runPulls(bus, [settings], byLane, { sideBySide: true, onLate: (_queue, delivery) => delivery.nak(0) });
}

const searchOf = ({ subject }: Delivery) => parseEventSubject(subject)?.searchId;

/** The event itself may be sound: its processes died at whatever they had in hand. */
function unfinished(where: string): LatheError {
  const text = `${where} was delivered ${MAX_DELIVERIES} times and never finished: its processes died or were stopped`;
  return new LatheError("ABORTED", text, { reason: EXHAUSTED });
}

/** Runs what has the same key in the order of asking, and different keys side by side. */
class Lanes {
  private readonly last = new Map<string, Promise<void>>();

  async run(key: string, job: () => Promise<void>): Promise<void> {
    const mine = (this.last.get(key) ?? Promise.resolve()).then(job);
    const settled = mine.catch(() => {});
    this.last.set(key, settled);
    try {
      await mine;
    } finally {
      if (this.last.get(key) === settled) this.last.delete(key);
    }
  }
}
