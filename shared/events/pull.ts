import type { Msg } from "nats";
import { LatheError } from "../process/errors";
import type { Bus } from "./bus";
import { apiFault, natsFault, type ApiFault } from "./faults";

/** A durable pull consumer: where it reads, and how long a delivery may stay without a word. */
export interface DurableSettings {
  stream: string;
  durable: string;
  filter: string;
  ackWaitMs: number;
  /** Deliveries in flight over all who pull from this durable. */
  maxAckPending: number;
}

/** Creates the durable, or brings its settings up to date; several processes may do so at once. */
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
    // Counted here: a message past the server's own limit stays in the stream, seen by nobody.
    max_deliver: -1,
    max_waiting: 512,
  };
  // Not the client's `consumers.add`: from server 2.10 on, it refuses a durable that exists with other settings.
  const what = `consumer ${durable}`;
  const body = JSON.stringify({ stream_name: stream, config });
  const request = { what, retryForMs: 15_000 };
  const answer = await bus.request(`$JS.API.CONSUMER.DURABLE.CREATE.${stream}.${durable}`, body, request);
  const { error } = answer.json<{ error?: ApiFault }>();
  if (error) throw apiFault(error, what);
  bus.durables.set(durable, stream);
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
    // $JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>, with domain and account before the stream on newer servers.
    const tokens = this.reply.split(".");
    const at = tokens.length === 9 ? 4 : 6;
    this.deliveries = Number(tokens[at]);
    this.sequence = Number(tokens[at + 1]);
  }

  get where(): string {
    return `${this.subject}#${this.sequence}`;
  }

  /** Done: resolves once the server knows it. UNAVAILABLE: it may come again. */
  async ack(): Promise<void> {
    await this.bus.request(this.reply, "+ACK", { what: `acknowledgement of ${this.where}` });
  }

  /** Gone for good, without effect. Without a reason: servers before 2.10 ignore a term that has one, and deliver again. */
  async term(): Promise<void> {
    await this.bus.request(this.reply, "+TERM", { what: `termination of ${this.where}` });
  }

  /** To be delivered again after a while; 0: at once, to whoever pulls. On a connection that drains or is closed the end of the lease does it. */
  nak(delayMs: number): void {
    const answer = delayMs > 0 ? `-NAK ${JSON.stringify({ delay: delayMs * 1e6 })}` : "-NAK";
    try {
      this.bus.connection.publish(this.reply, answer);
    } catch (error) {
      this.bus.logger.warn("a delivery waits for the end of its lease", { where: this.where, error });
    }
  }

  /** Still at it: begins the time without a word anew. True when the server has confirmed. */
  async working(timeoutMs: number): Promise<boolean> {
    try {
      await this.bus.request(this.reply, "+WPI", { what: `lease of ${this.where}`, timeoutMs, retryForMs: 0 });
      return true;
    } catch {
      // The lease counts from the last confirmed word; the caller watches it.
      return false;
    }
  }
}

/** Takes a delivery that nobody waits for any more; it must give the message back. */
export type OnLate = (queue: DurableSettings, delivery: Delivery) => void;

/**
 * Pulls one delivery; undefined when none came in time, on a reconnection (the server has forgotten the pull) or when the signal aborts.
 * `expiresMs` 0 asks for what is there now.
 */
export async function pullOne(
  bus: Bus,
  settings: DurableSettings,
  signal: AbortSignal,
  onLate: OnLate,
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
        if (settled) onLate(settings, delivery);
        else settle(delivery);
      } else if (status === 404 || status === 408) settle(undefined);
      else if (status !== 100) {
        // No responders, consumer deleted, leadership change: each is answered at once, and must not be asked again at once.
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
    // Drained, not cut: a delivery that is on its way reaches the callback, which gives it back.
    if (!bus.connection.isClosed()) void subscription.drain().catch(() => subscription.unsubscribe());
  }
}

/** Keeps a delivery alive while its handler runs; tells when the lease is lost. */
export class Lease {
  private confirmedAt = Date.now();
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

  /** Aborted when no word was confirmed for as long as the server waits: it may have given the message to another. */
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
    const sentAt = Date.now();
    if (await this.delivery.working(this.ackWaitMs / 4)) this.confirmedAt = sentAt;
    this.beating = false;
    this.check();
  }

  private check(): void {
    if (this.lost.aborted || Date.now() - this.confirmedAt <= this.ackWaitMs) return;
    this.end();
    this.onLost();
    this.controller.abort(
      new LatheError("ABORTED", `lease of ${this.delivery.where} lost: no word confirmed for ${this.ackWaitMs} ms`, {
        reason: "LEASE_LOST",
      }),
    );
  }
}
