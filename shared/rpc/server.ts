import { Server, ServerCredentials, setLogger } from "@grpc/grpc-js";
import { LatheError } from "../process/errors";
import type { Logger } from "../process/logger";
import type { Metrics } from "../process/metrics";
import type { Readiness } from "../process/readiness";
import { bearerTokens } from "./auth";
import { maxRequestBytes } from "./bounds";
import type { Service } from "./handlers";
import { health } from "./health";
import { certificateExpiry, serverMetrics } from "./metrics";
import { addReflection } from "./reflection";
import { isLoopback, maxMessageBytes, type ServerSettings, type ServerTls } from "./settings";

export interface ServerOptions extends ServerSettings {
  services: readonly Service[];
  readiness: Readiness;
  metrics: Metrics;
  logger: Logger;
  /** How long a client of a stream may read nothing before it is dropped; 60 s. */
  slowClientMs?: number;
}

interface RpcServer {
  port: number;
  /** Reports NOT_SERVING, ends streams and lets unary calls finish; cuts those that still run at the deadline. */
  stop(deadlineMs: number): Promise<void>;
}

const channelOptions = {
  "grpc.max_send_message_length": maxMessageBytes,
  "grpc.keepalive_time_ms": 30_000,
  "grpc.keepalive_timeout_ms": 10_000,
  // Clients that reconnect find new replicas. Running streams are not cut.
  "grpc.max_connection_age_ms": 30 * 60_000,
};

/** Serves `services`, grpc.health.v1 (from `readiness`) and reflection (v1 and v1alpha). */
export async function startServer(options: ServerOptions): Promise<RpcServer> {
  const {
    host,
    port,
    services,
    readiness,
    metrics,
    logger,
    tls,
    tokens,
    insecure = false,
    slowClientMs = 60_000,
  } = options;
  if (!tls && !insecure && !isLoopback(host)) {
    throw new LatheError(
      "FAILED_PRECONDITION",
      `gRPC will not listen on ${host} without TLS: set LATHE_TLS_CERT_FILE and LATHE_TLS_KEY_FILE, bind LATHE_GRPC_HOST to 127.0.0.1, or set LATHE_GRPC_INSECURE=1 if the network encrypts`,
      { reason: "TLS_REQUIRED", metadata: { host } },
    );
  }
  // grpc-js prints unstructured lines to stderr, about faults that also arrive as errors.
  const line = (message: unknown) => logger.debug("grpc-js", { message: String(message) });
  setLogger({ error: line, info: line, debug: line });
  const observed = serverMetrics(metrics, logger);
  const stopping = new AbortController();
  // The first interceptor is the outermost, so that refused calls are counted too.
  const interceptors = [observed.interceptor, ...(tokens ? [bearerTokens(tokens)] : [])];
  const names = services.map(({ name }) => name);
  const all = [...services, health(readiness, names)];
  const methods = all.flatMap(({ definition }) => Object.values(definition));
  const server = new Server({
    ...channelOptions,
    // A larger request is not received at all; requestReader has the bound of each method.
    "grpc.max_receive_message_length": Math.max(...methods.map(({ path }) => maxRequestBytes(path))),
    interceptors,
  });
  for (const each of all) {
    server.addService(each.definition, each.bind({ logger, stopping: stopping.signal, slowClientMs }));
    for (const method of Object.values(each.definition)) observed.preregister(method);
  }
  addReflection(server, [...names, "grpc.health.v1.Health"]);

  const bound = await bind(server, host, port, tls);
  if (tls) certificateExpiry(metrics, tls.cert);
  return {
    port: bound,
    async stop(deadlineMs) {
      readiness.stop("stopping");
      // One turn of the event loop: health watchers must get the change before their streams end.
      await new Promise((resolve) => setImmediate(resolve));
      stopping.abort();
      let timer: NodeJS.Timeout | undefined;
      await new Promise<void>((resolve) => {
        timer = setTimeout(() => {
          logger.warn(`calls still run ${deadlineMs} ms after the stop began; cutting them`);
          server.forceShutdown();
          resolve();
        }, deadlineMs);
        server.tryShutdown(() => resolve());
      });
      clearTimeout(timer);
    },
  };
}

function credentials(tls: ServerTls | undefined): ServerCredentials {
  if (!tls) return ServerCredentials.createInsecure();
  return ServerCredentials.createSsl(
    tls.ca ?? null,
    [{ cert_chain: tls.cert, private_key: tls.key }],
    tls.ca !== undefined,
  );
}

function bind(server: Server, host: string, port: number, tls: ServerTls | undefined): Promise<number> {
  const address = `${host.includes(":") ? `[${host}]` : host}:${port}`;
  const failed = (error: unknown, reason: string) =>
    new LatheError("UNAVAILABLE", `gRPC cannot listen on ${address}: ${(error as Error).message}`, {
      reason,
      cause: error,
    });
  return new Promise((resolve, reject) => {
    let ready: ServerCredentials;
    try {
      ready = credentials(tls);
    } catch (error) {
      return reject(failed(error, "TLS_INVALID"));
    }
    server.bindAsync(address, ready, (error, bound) =>
      error ? reject(failed(error, "LISTEN_FAILED")) : resolve(bound),
    );
  });
}
