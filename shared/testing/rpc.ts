import { createLogger } from "../process/logger";
import { createMetrics, type Metrics } from "../process/metrics";
import { createReadiness, type Readiness } from "../process/readiness";
import { connect, type ClientClass, type Connection, type ConnectOptions } from "../rpc/client";
import type { Definition, Service } from "../rpc/handlers";
import { startServer, type ServerOptions } from "../rpc/server";

export interface TestRpc {
  port: number;
  /** host:port. */
  address: string;
  readiness: Readiness;
  metrics: Metrics;
  /** The parsed log lines of the server. */
  logs: Record<string, unknown>[];
  /** A client that `stop` closes. */
  connect<D extends Definition>(clientClass: ClientClass<D>, options?: ConnectOptions): Connection<D>;
  /** Stops the server; its clients stay open. */
  stopServer(deadlineMs?: number): Promise<void>;
  stop(): Promise<void>;
}

/** A real server with the given services on a free loopback port. */
export async function startRpc(services: readonly Service[], options: Partial<ServerOptions> = {}): Promise<TestRpc> {
  const logs: Record<string, unknown>[] = [];
  const logger = createLogger({
    service: "test",
    level: "debug",
    write: (line) => logs.push(JSON.parse(line) as Record<string, unknown>),
  });
  const readiness = createReadiness();
  const metrics = createMetrics();
  const server = await startServer({ host: "127.0.0.1", port: 0, services, readiness, metrics, logger, ...options });
  let stopped: Promise<void> | undefined;
  const stopServer = (deadlineMs = 1000) => (stopped ??= server.stop(deadlineMs));
  const opened: { close(): void }[] = [];
  const address = `127.0.0.1:${server.port}`;
  return {
    port: server.port,
    address,
    readiness,
    metrics,
    logs,
    connect(clientClass, connectOptions) {
      const connection = connect(clientClass, address, connectOptions);
      opened.push(connection);
      return connection;
    },
    stopServer,
    async stop() {
      for (const connection of opened) connection.close();
      await stopServer();
    },
  };
}
