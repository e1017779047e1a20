import type { Msg } from "nats";
import { LatheError } from "../process/errors";
import type { Bus } from "./bus";
import { apiFault, natsFault, type ApiFault } from "./faults";
import { api } from "./jetstream";

/** Settings of a durable pull consumer. */
export interface DurableSettings {
  stream: string;
  durable: string;
  filter: string;
  ackWaitMs: number;
  /** Deliveries in flight over all processes that pull from this durable. */
  maxAckPending: number;
}

/** Creates the durable, or updates its settings; several processes may do so at once. */
export async function ensureDurable(bus: Bus, settings: DurableSettings): Promise<void> {
  const { stream, durable, filter, ackWaitMs, maxAckPending } = settings;
  const config = {
    durable_name: durable,
    filter_subject: filter,
    ack_policy: "explicit",
    deliver_policy: "all",
    replay_policy: "instant",
    ack_wait: ackWaitMs * 1e6,
    max_ack_pending: maxAckPending,
    // Lathe counts deliveries itself: a message past the server's limit would stay in the stream and never be delivered again.
    max_deliver: -1,
    max_waiting: 512,
  };
  await forgetOther(bus, settings);
  // Not the client's `consumers.add`: from server 2.10 on, it refuses a durable that exists with other settings.
  const what = `consumer ${durable}`;
  const body = JSON.stringify({ stream_name: stream, config });
  const request = { what, retryForMs: 15_000 };
  const answer = await bus.request(`$JS.API.CONSUMER.DURABLE.CREATE.${stream}.${durable}`, body, request);
  const { error } = answer.json<{ error?: ApiFault }>();
  if (error) throw apiFault(error, what);
  bus.durables.set(durable, stream);
}

/**
 * Deletes a durable that an earlier version has made with another filter. nats-server 2.9 accepts a new filter and then delivers none of
 * the messages that wait. What the durable had acknowledged is gone from a work queue, so a new one delivers nothing twice.
 */
async function forgetOther(bus: Bus, { stream, durable, filter }: DurableSettings): Promise<void> {
  const request = { what: `consumer ${durable}`, retryForMs: 15_000 };
  try {
    const { config } = await api(bus, request, ({ consumers }) => consumers.info(stream, durable));
    if (config.filter_subject === filter) return;
    await api(bus, request, ({ consumers }) => consumers.delete(stream, durable));
    bus.logger.warn("consumer of an earlier version replaced", { durable, was: config.filter_subject, filter });
  } catch (error) {
    if (LatheError.from(error).code !== "NOT_FOUND") throw error;
  }
}

/** One delivery of a stored message. Exactly one of ack, nak and term ends it. */
export class Delivery {
  readonly subject: string;
  readonly data: Uint8Array;
  readonly sequence: number;
  /** Counted from 1. */
  readonly deliveries: number;
  /** An entry of the message's headers. */
  readonly header: (name: string) => string | undefined;
  private readonly reply: string;

  constructor(
    private readonly bus: Bus,
    message: Msg,
  ) {
    this.subject = message.subject;
    this.data = message.data;
    this.reply = message.reply ?? "";
    this.header = (name) => message.headers?.get(name) || undefined;
    // $JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>, with domain and account before the stream on
    // newer servers.
    const tokens = this.reply.split(".");
    const at = tokens.length === 9 ? 4 : 6;
    this.deliveries = Number(tokens[at]);
    this.sequence = Number(tokens[at + 1]);
  }

  get where(): string {
    return `${this.subject}#${this.sequence}`;
  }

  /** Acknowledges the delivery; resolves once the server has confirmed. After UNAVAILABLE the message may be delivered again. */
  async ack(): Promise<void> {
    await this.bus.request(this.reply, "+ACK", { what: `acknowledgement of ${this.where}` });
  }

  /** Ends the message without an effect. Sends no reason: servers before 2.10 ignore a term with a reason, and deliver again. */
  async term(): Promise<void> {
    await this.bus.request(this.reply, "+TERM", { what: `termination of ${this.where}` });
  }

  /**
   * Has the message delivered again, to any process, after a delay in ms (0: at once). On a closed or draining connection the end of the
   * lease does so.
   */
  nak(delayMs: number): void {
    const answer = delayMs > 0 ? `-NAK ${JSON.stringify({ delay: delayMs * 1e6 })}` : "-NAK";
    try {
      this.bus.connection.publish(this.reply, answer);
    } catch (error) {
      this.bus.logger.warn("a delivery comes back at the end of its lease", { where: this.where, error });
    }
  }

  /** Renews the lease. Returns whether the server has confirmed. */
  async working(timeoutMs: number): Promise<boolean> {
    try {
      await this.bus.request(this.reply, "+WPI", { what: `lease of ${this.where}`, timeoutMs, retryForMs: 0 });
      return true;
    } catch {
      // The caller counts the lease from the last confirmed renewal.
      return false;
    }
  }
}

/**
 * Pulls one delivery; undefined when none arrives in time, on a reconnection (the server has forgotten the pull) or when the signal
 * aborts. With `expiresMs` 0 it does not wait. A delivery that arrives later is given back.
 */
export async function pullOne(
  bus: Bus,
  settings: DurableSettings,
  signal: AbortSignal,
  expiresMs = 5000,
): Promise<Delivery | undefined> {
  if (signal.aborted) return undefined;
  const { stream, durable } = settings;
  const inbox = bus.inbox();
  let settled = false;
  let settle: (result: Delivery | undefined | LatheError) => void = () => {};
  const outcome = new Promise<Delivery | undefined | LatheError>((resolve) => {
    settle = (result) => {
      settled = true;
      resolve(result);
    };
  });
  const subscription = bus.connection.subscribe(inbox, {
    callback: (error, message) => {
      if (error) return settle(natsFault(error, `pull from ${durable}`));
      const status = message.headers?.code ?? 0;
      if (message.reply) {
        const delivery = new Delivery(bus, message);
        if (settled) delivery.nak(0);
        else settle(delivery);
      } else if (status === 404 || status === 408) settle(undefined);
      else if (status !== 100) {
        // No responders, consumer deleted, leadership change: the server answers at once, so the caller must wait before the next pull.
        const why = message.headers?.description || `status ${status}`;
        settle(new LatheError("UNAVAILABLE", `consumer ${durable} of stream ${stream}: ${why}`));
      }
    },
  });
  const giveUp = () => settle(undefined);
  const timer = setTimeout(giveUp, expiresMs + 1000);
  signal.addEventListener("abort", giveUp);
  const forget = bus.onReconnect(giveUp);
  try {
    bus.connection.publish(
      `$JS.API.CONSUMER.MSG.NEXT.${stream}.${durable}`,
      JSON.stringify(expiresMs > 0 ? { batch: 1, expires: expiresMs * 1e6 } : { batch: 1, no_wait: true }),
      { reply: inbox },
    );
    const result = await outcome;
    if (result instanceof LatheError) throw result;
    return result;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", giveUp);
    forget();
    // Drained instead of cut, so that a delivery on its way reaches the callback, which gives it back. One that the server sends just
    // after the subscription has ended reaches nobody; the server sends it again.
    if (!bus.connection.isClosed()) void subscription.drain().catch(() => subscription.unsubscribe());
  }
}

/** Renews the lease of a delivery while its handler runs, and aborts a signal when the lease is lost. */
export class Lease {
  private confirmedAt = performance.now();
  private readonly timer: NodeJS.Timeout;
  private readonly controller = new AbortController();
  private beating = false;

  constructor(
    private readonly delivery: Delivery,
    private readonly ackWaitMs: number,
    private readonly onLost: () => void,
  ) {
    this.timer = setInterval(() => void this.beat(), ackWaitMs / 4).unref();
  }

  /** Aborts when no renewal was confirmed for as long as the server waits: another process may have the message by then. */
  get lost(): AbortSignal {
    return this.controller.signal;
  }

  end(): void {
    clearInterval(this.timer);
  }

  private async beat(): Promise<void> {
    this.check();
    if (this.beating || this.lost.aborted) return;
    this.beating = true;
    const sentAt = performance.now();
    if (await this.delivery.working(this.ackWaitMs / 4)) this.confirmedAt = sentAt;
    this.beating = false;
    this.check();
  }

  private check(): void {
    if (this.lost.aborted || performance.now() - this.confirmedAt <= this.ackWaitMs) return;
    this.end();
    this.onLost();
    this.controller.abort(
      new LatheError("ABORTED", `lease of ${this.delivery.where} lost: no renewal confirmed for ${this.ackWaitMs} ms`, {
        reason: "LEASE_LOST",
      }),
    );
  }
}
