import type { NatsConnection } from "nats";
import { LatheError } from "../process/errors";
import type { Logger } from "../process/logger";
import { STORAGE_SUBJECT } from "./subjects";

/** A writer that was refused retries within half a minute. If it does not, it no longer needs room. */
const REFUSAL_LASTS_MS = 60_000;
/** A refused writer tells the others at most this often. */
const TELL_EVERY_MS = 5_000;

interface Refusal {
  why: string;
  at: number;
}

/** The message of a refused writer to the others; null: there is room again. */
interface News {
  full: string | null;
}

/** The parts of a Bus that it needs. */
interface Wire {
  connection: NatsConnection;
  name: string;
  logger: Pick<Logger, "error" | "info" | "warn">;
  counters: { malformed: number };
}

/** Whether NATS has room, as a process learns it from its own stores and from those of the others. */
export class Room {
  private own: Refusal | undefined;
  private others: Refusal | undefined;
  private toldAt = -Infinity;
  private off: string | undefined;

  constructor(private readonly bus: Wire) {}

  /** Notes that a message was stored. */
  stored(): void {
    if (this.own && this.toldAt > -Infinity) this.tell({ full: null });
    this.own = this.others = undefined;
    this.toldAt = -Infinity;
  }

  /** Notes the failure of a store. */
  refused({ reason, message, metadata }: LatheError): void {
    if (reason !== "STORAGE_FULL" || this.off !== undefined) return;
    this.own = { why: message, at: performance.now() };
    // The limit of one stream is of no concern to those that write to others.
    if (metadata.limit === "stream" || performance.now() - this.toldAt < TELL_EVERY_MS) return;
    this.toldAt = performance.now();
    this.tell({ full: message });
  }

  /** Why there is no room; undefined where there is, or where nothing is known. */
  fault(): string | undefined {
    if (this.off !== undefined) return this.off;
    return [this.own, this.others].find((refusal) => refusal && performance.now() - refusal.at < REFUSAL_LASTS_MS)?.why;
  }

  /** Listens to the others until the connection ends. */
  follow(): void {
    this.bus.connection.subscribe(STORAGE_SUBJECT, {
      callback: (error, message) => {
        if (error) return this.bus.logger.warn("the news about storage cannot be followed", { error });
        let news: News;
        try {
          news = message.json<News>();
        } catch {
          this.bus.counters.malformed++;
          return;
        }
        this.others = typeof news.full === "string" ? { why: news.full, at: performance.now() } : undefined;
      },
    });
  }

  /** Notes whether JetStream answers; `why` says what was seen where it does not. */
  noteAnswers(why?: string): void {
    if (why !== undefined && this.off === undefined) this.bus.logger.error(why);
    if (why === undefined && this.off !== undefined) this.bus.logger.info("JetStream answers again");
    this.off = why;
  }

  /** Whether JetStream does not answer although NATS does. */
  get isOff(): boolean {
    return this.off !== undefined;
  }

  /** Fails a request at once that JetStream would not answer. */
  throwIfOff(what: string): void {
    if (this.off === undefined) return;
    throw new LatheError("RESOURCE_EXHAUSTED", `${what}: ${this.off}`, { reason: "STORAGE_FULL" });
  }

  private tell(news: News): void {
    // Not stored, so there is always room for it.
    if (!this.bus.connection.isClosed() && !this.bus.connection.isDraining())
      this.bus.connection.publish(STORAGE_SUBJECT, JSON.stringify(news));
  }
}
