import {
  ChannelCredentials,
  Metadata,
  status,
  type CallOptions,
  type Client,
  type ClientOptions,
  type ClientReadableStream,
  type ClientUnaryCall,
  type ServiceError,
} from "@grpc/grpc-js";
import { LatheError } from "../process/errors";
import { sentWith } from "../process/tracing/span";
import { fromServiceError, type Callee } from "./errors";
import type { Definition, RequestOf, ResponseOf } from "./handlers";
import { maxRequestBytes } from "./bounds";
import { isLoopback, maxMessageBytes } from "./settings";

interface ClientTls {
  /** PEM of the authorities to trust; the system's unless given. */
  ca?: Buffer;
  /** PEM pair of this client (mTLS). */
  cert?: Buffer;
  key?: Buffer;
  /** Name to expect in the server's certificate if the address has another. */
  serverName?: string;
}

export interface ConnectOptions {
  tls?: ClientTls | undefined;
  /** Bearer token, sent with each call. */
  token?: string | undefined;
  /** Deadline of a unary call that names none; 30 s unless given. */
  deadlineMs?: number;
  /** Allows a token without TLS to another host than loopback. */
  insecure?: boolean;
}

interface InvokeOptions {
  /** From now; streams have none unless given. */
  deadlineMs?: number;
  signal?: AbortSignal;
}

/** The methods of a service as a client calls them; all failures are LatheErrors. */
export type Api<D extends Definition> = {
  [K in keyof D]: D[K]["responseStream"] extends true
    ? (request: RequestOf<D[K]>, options?: InvokeOptions) => AsyncIterable<ResponseOf<D[K]>>
    : (request: RequestOf<D[K]>, options?: InvokeOptions) => Promise<ResponseOf<D[K]>>;
};

export interface Connection<D extends Definition> {
  api: Api<D>;
  /** Resolves when the channel is up; UNAVAILABLE if it is not within the deadline. */
  ready(deadlineMs: number): Promise<void>;
  close(): void;
}

/** A client class that ts-proto generates. */
export interface ClientClass<D extends Definition> {
  new (address: string, credentials: ChannelCredentials, options?: Partial<ClientOptions>): Client;
  service: D;
  serviceName: string;
}

/** Methods that change nothing: a repeated call has the effect of one. */
const repeatable = /^(Get|List|Describe|Watch|Download|Export|Simulate|Decide|Discretize|Evaluate|Check)/;

function serviceConfig(definition: Definition): string {
  const name = Object.values(definition).flatMap(({ path }) => {
    const [, service = "", method = ""] = path.split("/");
    return repeatable.test(method) ? [{ service, method }] : [];
  });
  // Some 9 s in all: the time that the only replica of a service may need for a restart.
  const retryPolicy = {
    maxAttempts: 5,
    initialBackoff: "0.3s",
    maxBackoff: "4s",
    backoffMultiplier: 4,
    retryableStatusCodes: ["UNAVAILABLE"],
  };
  return JSON.stringify({
    loadBalancingConfig: [{ round_robin: {} }],
    methodConfig: name.length > 0 ? [{ name, retryPolicy }] : [],
  });
}

function credentials({ tls }: ConnectOptions): ChannelCredentials {
  if (!tls) return ChannelCredentials.createInsecure();
  return ChannelCredentials.createSsl(tls.ca ?? null, tls.key ?? null, tls.cert ?? null);
}

/** "lathe.v1.SearchService" -> "search service". */
function spoken(serviceName: string): string {
  return `${(serviceName.split(".").at(-1) ?? serviceName).replace(/Service$/, "").toLowerCase()} service`;
}

type UnaryCall = (
  request: unknown,
  metadata: Metadata,
  options: Partial<CallOptions>,
  callback: (error: ServiceError | null, response: unknown) => void,
) => ClientUnaryCall;
type StreamCall = (
  request: unknown,
  metadata: Metadata,
  options: Partial<CallOptions>,
) => ClientReadableStream<unknown>;

/**
 * A connection to `address` (host:port), opened at the first call and again after a loss. Calls that change nothing are repeated on
 * UNAVAILABLE.
 */
export function connect<D extends Definition>(
  clientClass: ClientClass<D>,
  address: string,
  options: ConnectOptions = {},
): Connection<D> {
  const { tls, token, deadlineMs: unaryDeadlineMs = 30_000, insecure = false } = options;
  if (token !== undefined && !tls && !insecure && !isLoopback(address.replace(/:\d+$/, ""))) {
    throw new LatheError("FAILED_PRECONDITION", `a bearer token will not be sent to ${address} without TLS`, {
      reason: "TLS_REQUIRED",
    });
  }
  const client = new clientClass(address, credentials(options), {
    "grpc.service_config": serviceConfig(clientClass.service),
    "grpc.max_receive_message_length": maxMessageBytes,
    "grpc.max_send_message_length": Math.max(
      maxMessageBytes,
      ...Object.values(clientClass.service).map(({ path }) => maxRequestBytes(path)),
    ),
    "grpc.keepalive_time_ms": 30_000,
    "grpc.keepalive_timeout_ms": 10_000,
    "grpc.initial_reconnect_backoff_ms": 250,
    // A call that is repeated is of no use while the channel waits longer than the call does.
    "grpc.max_reconnect_backoff_ms": 1_000,
    ...(tls?.serverName !== undefined && { "grpc.ssl_target_name_override": tls.serverName }),
  });
  const name = spoken(clientClass.serviceName);
  const metadata = () => {
    const entries = new Metadata();
    if (token !== undefined) entries.set("authorization", `Bearer ${token}`);
    // A program that embeds this client may have registered a tracer.
    for (const [key, value] of Object.entries(sentWith())) entries.set(key, value);
    return entries;
  };
  const limit = (ms: number | undefined) => (ms === undefined ? {} : { deadline: Date.now() + ms });
  const unaryCalls = client as unknown as Record<string, UnaryCall>;
  const streamCalls = client as unknown as Record<string, StreamCall>;

  const invoke =
    (method: string, callee: Callee) =>
    (request: unknown, { signal, deadlineMs }: InvokeOptions = {}) =>
      new Promise((resolve, reject) => {
        if (signal?.aborted) return reject(cancelled(signal, callee));
        const settle = (error: ServiceError | null, response: unknown) => {
          signal?.removeEventListener("abort", onAbort);
          if (!error) return resolve(response);
          reject(signal?.aborted ? cancelled(signal, callee) : fromServiceError(error, callee));
        };
        const call = unaryCalls[method]!.call(
          client,
          request,
          metadata(),
          limit(deadlineMs ?? unaryDeadlineMs),
          settle,
        );
        const onAbort = () => call.cancel();
        signal?.addEventListener("abort", onAbort, { once: true });
      });

  const open = (method: string, callee: Callee) =>
    async function* (request: unknown, { signal, deadlineMs }: InvokeOptions = {}) {
      if (signal?.aborted) throw cancelled(signal, callee);
      const call = streamCalls[method]!.call(client, request, metadata(), limit(deadlineMs));
      const onAbort = () => call.cancel();
      signal?.addEventListener("abort", onAbort, { once: true });
      try {
        // Reading on demand slows the server down to the reader.
        for await (const message of call as AsyncIterable<unknown>) yield message;
      } catch (error) {
        throw signal?.aborted ? cancelled(signal, callee) : fromServiceError(error as ServiceError, callee);
      } finally {
        signal?.removeEventListener("abort", onAbort);
        // The reader may have stopped before the end of the stream.
        call.cancel();
      }
    };

  const api = Object.fromEntries(
    Object.entries(clientClass.service).map(([method, { path, responseStream }]) => {
      const callee = { name, address, method: path.split("/")[2] ?? path };
      return [method, responseStream ? open(method, callee) : invoke(method, callee)];
    }),
  ) as Api<D>;
  return {
    api,
    ready: (deadlineMs) =>
      new Promise((resolve, reject) => {
        client.waitForReady(Date.now() + deadlineMs, (error) => {
          if (!error) return resolve();
          const message = `${name} at ${address} is not reachable within ${deadlineMs} ms: ${error.message}`;
          reject(new LatheError("UNAVAILABLE", message, { reason: "SERVICE_UNREACHABLE", cause: error }));
        });
      }),
    close: () => client.close(),
  };
}

function cancelled(signal: AbortSignal, { name, method }: Callee): LatheError {
  const why: unknown = signal.reason;
  if (why instanceof LatheError) return why;
  return new LatheError("CANCELLED", `${method} of the ${name} was cancelled here`, {
    reason: status[status.CANCELLED],
    cause: why,
  });
}
