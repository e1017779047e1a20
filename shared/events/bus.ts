import { readFileSync } from "node:fs";
import {
  Events,
  connect as connectNats,
  createInbox,
  credsAuthenticator,
  type ConnectionOptions,
  type Msg,
  type MsgHdrs,
  type NatsConnection,
} from "nats";
import { LatheError } from "../process/errors";
import type { Logger } from "../process/logger";
import { firstFault, isUnavailable, natsFault, sleep } from "./faults";
import { Names, withNames } from "./names";
import { Room } from "./room";

export interface BusOptions {
  /**
   * nats://host:port or tls://host:port, with user:password@ before the host where NATS requires it; several URLs are separated by
   * commas.
   */
  url: string;
  /** Name of the connection on the server, and the source of every event: the service. */
  name: string;
  logger: Pick<Logger, "info" | "warn" | "error">;
  /** Prefix of the names of this installation on the server (Names); none by default. */
  prefix?: string;
  /** Path of a .creds file (JWT and seed). */
  credsFile?: string;
  tls?: { caFile?: string; certFile?: string; keyFile?: string };
  /** How long the first connection may take before UNAVAILABLE; 10 s. */
  firstConnectMs?: number;
  signal?: AbortSignal;
}

export interface RequestOptions {
  /** The subject of errors and log lines: "event s-abc:epoch.completed:3". */
  what: string;
  headers?: MsgHdrs;
  /** Timeout of one attempt; 2 s. */
  timeoutMs?: number;
  /** How long an unanswered request is sent again (the same bytes and headers); 10 s. 0: one attempt. */
  retryForMs?: number;
  signal?: AbortSignal | undefined;
}

type BusStatus = { connected: true } | { connected: false; reason: string };

const RECONNECT_WAIT_MS = 250;

/** One connection to NATS: requests that survive an outage, its state for readiness, and counters for metrics. */
export class Bus {
  /** Counted since the start; a service turns them into metrics. */
  readonly counters = {
    reconnects: 0,
    malformed: 0,
    dropped: 0,
    deadLetters: 0,
    redeliveries: 0,
    leasesLost: 0,
    retries: 0,
  };
  /** Durables that this process pulls from, with their stream. */
  readonly durables = new Map<string, string>();
  /** Consumers of this process that wait for a delivery and have none in hand, by durable. */
  readonly idle = new Map<string, number>();
  private state: BusStatus = { connected: true };
  /** Whether NATS has room, as far as this process knows. */
  readonly room: Room;
  /** The connection with the names of this installation: its callers never see the prefix. */
  readonly connection: NatsConnection;
  /** How often streams were lost since the start. What was read before a loss is no longer true. */
  losses = 0;
  private closing = false;
  private readonly reconnectListeners = new Set<() => void>();
  private readonly lossListeners = new Set<(streams: readonly string[]) => void>();
  private readonly missingListeners = new Set<() => void>();

  constructor(
    connection: NatsConnection,
    readonly name: string,
    readonly logger: BusOptions["logger"],
    readonly names: Names,
    private readonly connectAgain: () => Promise<NatsConnection>,
  ) {
    this.connection = withNames(connection, names);
    this.room = new Room(this);
    void this.watch();
  }

  /** A subject for the answers to one question. */
  inbox(): string {
    return createInbox(this.names.inbox(this.name));
  }

  /** CloudEvents source of what this process publishes. */
  get source(): string {
    return `/lathe/${this.name}`;
  }

  /** Largest message the server takes, in bytes. */
  get maxPayload(): number {
    return this.connection.info?.max_payload ?? 1024 * 1024;
  }

  /** For readiness: connected, or why not. */
  status(): BusStatus {
    return this.state;
  }

  /** Calls back after each reconnection; the returned function removes the listener. */
  onReconnect(listener: () => void): () => void {
    this.reconnectListeners.add(listener);
    return () => this.reconnectListeners.delete(listener);
  }

  /** Notes that streams are gone, or are not those of before, and all that they held with them. */
  noteLoss(streams: readonly string[]): void {
    this.losses++;
    for (const listener of [...this.lossListeners]) listener(streams);
  }

  /** Calls back with the names of streams that are lost; the returned function removes the listener. */
  onLoss(listener: (streams: readonly string[]) => void): () => void {
    this.lossListeners.add(listener);
    return () => this.lossListeners.delete(listener);
  }

  /** Notes that a request found no stream. */
  noteMissing(): void {
    for (const listener of [...this.missingListeners]) listener();
  }

  /** Calls back when a request has found no stream; the returned function removes the listener. */
  onMissing(listener: () => void): () => void {
    this.missingListeners.add(listener);
    return () => this.missingListeners.delete(listener);
  }

  /** Calls back when the connection is closed for good by anything but drain(): the process should exit. */
  onClosed(listener: (error: LatheError) => void): void {
    void this.connection.closed().then((cause) => {
      if (this.closing) return;
      const why = cause ? cause.message : "no reason given";
      const message = `the connection to NATS at ${this.connection.getServer()} closed: ${why}`;
      listener(new LatheError("UNAVAILABLE", message, { cause }));
    });
  }

  /**
   * One request and its answer. A request without an answer (timeout, no responders, an outage) is sent again until `retryForMs` has
   * passed; while JetStream is off (Room) it fails at once with RESOURCE_EXHAUSTED.
   */
  async request(subject: string, payload: Uint8Array | string, options: RequestOptions): Promise<Msg> {
    const { what, headers, timeoutMs = 2000, retryForMs = 10_000, signal } = options;
    const deadline = performance.now() + retryForMs;
    for (let attempt = 0; ; attempt++) {
      if (signal?.aborted) throw new LatheError("CANCELLED", `${what}: cancelled`);
      this.room.throwIfOff(what);
      try {
        // The last attempt ends with the whole request.
        const timeout = retryForMs > 0 ? Math.min(timeoutMs, Math.max(250, deadline - performance.now())) : timeoutMs;
        const answer = this.connection.request(subject, payload, headers ? { timeout, headers } : { timeout });
        return await this.unlessInterrupted(answer, signal, what);
      } catch (thrown) {
        const error = natsFault(thrown, what);
        const waitMs = Math.min(1000, 50 * 2 ** attempt);
        if (!isUnavailable(error) || this.connection.isClosed() || performance.now() + waitMs > deadline) throw error;
        this.counters.retries++;
        await sleep(waitMs, signal);
      }
    }
  }

  /**
   * Whether a request over a connection of its own is answered in time. UNAVAILABLE where NATS cannot be reached. A connection over which
   * JetStream has hung answers nothing any more, so it cannot tell what hangs.
   */
  async answersAfresh(subject: string, timeout: number): Promise<boolean> {
    const what = `request ${subject} over a new connection`;
    const fresh = await this.connectAgain().catch((thrown: unknown) => Promise.reject(natsFault(thrown, what)));
    try {
      await fresh.request(subject, "", { timeout });
      return true;
    } catch (thrown) {
      // Any answer will do, such as that these credentials may not ask.
      return natsFault(thrown, what).code !== "UNAVAILABLE";
    } finally {
      await fresh.close();
    }
  }

  /** Resolves when everything published so far has reached the server. */
  async flush(): Promise<void> {
    await this.connection.flush();
  }

  /** Sends what is buffered, ends the subscriptions and closes; a connection that is down is closed at once. */
  async drain(): Promise<void> {
    this.closing = true;
    if (this.connection.isClosed()) return;
    if (!this.state.connected) return this.connection.close();
    // A server that vanishes during the drain must not delay a shutdown.
    const drained = new AbortController();
    const draining = this.connection
      .drain()
      .catch(() => this.connection.close())
      .finally(() => drained.abort());
    await Promise.race([draining, sleep(3000, drained.signal)]);
    if (!this.connection.isClosed()) await this.connection.close();
  }

  /**
   * The answer, CANCELLED at once when the signal aborts, or UNAVAILABLE after a reconnection: a request from before an outage gets no
   * answer.
   */
  private async unlessInterrupted<T>(answer: Promise<T>, signal: AbortSignal | undefined, what: string): Promise<T> {
    let interrupt: (error: LatheError) => void = () => {};
    const interrupted = new Promise<never>((_resolve, reject) => (interrupt = reject));
    const onAbort = () => interrupt(new LatheError("CANCELLED", `${what}: cancelled`));
    const forget = this.onReconnect(() =>
      interrupt(new LatheError("UNAVAILABLE", `${what}: the connection to NATS broke`, { reason: "NATS_UNAVAILABLE" })),
    );
    signal?.addEventListener("abort", onAbort);
    // The answer may still fail after the race, and nobody would handle that rejection.
    answer.catch(() => {});
    try {
      return await Promise.race([answer, interrupted]);
    } finally {
      forget();
      signal?.removeEventListener("abort", onAbort);
    }
  }

  private async watch(): Promise<void> {
    void this.connection.closed().then(() => {
      this.state = { connected: false, reason: "the connection to NATS is closed" };
    });
    for await (const status of this.connection.status()) {
      const { type, data } = status;
      const about = typeof data === "string" ? data : JSON.stringify(data);
      if (type === Events.Disconnect) {
        this.state = { connected: false, reason: `NATS at ${about} is not connected` };
        this.logger.warn("NATS disconnected", { server: about });
      } else if (type === Events.Reconnect) {
        this.state = { connected: true };
        this.counters.reconnects++;
        this.logger.info("NATS reconnected", { server: about, reconnects: this.counters.reconnects });
        for (const listener of [...this.reconnectListeners]) listener();
      } else if (type === Events.Error) {
        const { permissionContext: refused } = status;
        if (refused) this.logger.warn("NATS refuses these credentials", { ...refused });
        else this.logger.error("NATS reports an error", { server: about });
      }
    }
  }
}

/** Opens the bus. UNAVAILABLE where NATS cannot be reached within `firstConnectMs`; after that, the client reconnects without a limit. */
export async function connect(options: BusOptions): Promise<Bus> {
  const { name, logger, credsFile, tls, prefix = "", firstConnectMs = 10_000, signal } = options;
  const names = new Names(prefix);
  const { servers, login } = serversOf(options.url);
  const url = servers.join(",");
  const settings: ConnectionOptions = {
    servers,
    ...login,
    name,
    inboxPrefix: names.inbox(name),
    // The client's default is to give up after 20 s.
    maxReconnectAttempts: -1,
    reconnectTimeWait: RECONNECT_WAIT_MS,
    reconnectJitter: 100,
    pingInterval: 10_000,
    ...(tls && { tls }),
    ...(credsFile !== undefined && { authenticator: credsAuthenticator(readCreds(credsFile)) }),
  };
  const deadline = performance.now() + firstConnectMs;
  for (;;) {
    if (signal?.aborted) throw new LatheError("CANCELLED", `connecting to NATS at ${url}: cancelled`);
    try {
      // Not waitOnFirstConnect: it waits for ever and cannot be cancelled.
      const timeout = Math.max(50, Math.min(5000, deadline - performance.now()));
      const connectAgain = () => connectNats({ ...settings, timeout: 2000, reconnect: false });
      return new Bus(await connectNats({ ...settings, timeout }), name, logger, names, connectAgain);
    } catch (thrown) {
      const error = firstFault(thrown, url);
      if (error.code !== "UNAVAILABLE" || performance.now() + RECONNECT_WAIT_MS > deadline) throw error;
      await sleep(RECONNECT_WAIT_MS, signal);
    }
  }
}

/** Separates name and password from the URL, so that errors which quote the URL do not reveal them. */
function serversOf(urls: string): { servers: string[]; login?: { user: string; pass: string } } {
  const parsed = urls.split(",").map((server) => new URL(server.trim()));
  const found = parsed.find(({ username }) => username !== "");
  const login = found && { user: decodeURIComponent(found.username), pass: decodeURIComponent(found.password) };
  const servers = parsed.map(({ protocol, host }) => `${protocol}//${host}`);
  return { servers, ...(login && { login }) };
}

function readCreds(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (cause) {
    throw new LatheError("FAILED_PRECONDITION", `NATS credentials file ${path} cannot be read`, {
      reason: "NATS_CREDENTIALS",
      cause,
    });
  }
}
