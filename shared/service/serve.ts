import type { z } from "zod";
import { connect, type Bus } from "../events/bus";
import type { Consumption } from "../events/consumer";
import { provision } from "../events/streams";
import { boot, type Booted } from "../process/boot";
import type { baseConfig } from "../process/config";
import { startHttp } from "../process/http";
import type { Service } from "../rpc/handlers";
import { startServer } from "../rpc/server";

/** What a service is made of, once its bus is open. */
export interface Parts {
  services: Service[];
  /** Started once gRPC answers; stopped, with the item in hand given back, before gRPC goes. */
  consumers: (() => Promise<Consumption>)[];
}

export type Context<S extends z.ZodObject> = Booted<S> & { bus: Bus };

type ServiceSchema = z.ZodObject<typeof baseConfig & z.ZodRawShape>;

/**
 * Runs a service process: settings, bus, what `compose` makes, gRPC, HTTP, consumers, in this order; stopped in reverse. The
 * process is ready while it is connected to NATS.
 */
export function serve<S extends ServiceSchema>(
  name: string,
  schema: S,
  compose: (context: Context<S>) => Parts | Promise<Parts>,
): Promise<void> {
  return boot(name, schema, async (booted) => {
    const { logger, metrics, readiness, shutdown, ready } = booted;
    const config = booted.config as z.output<z.ZodObject<typeof baseConfig>>;
    const http = await startHttp({
      host: config.LATHE_HTTP_HOST,
      port: config.LATHE_HTTP_PORT,
      metrics,
      readiness,
      logger,
    });
    shutdown.step("HTTP", () => http.stop());
    const started = readiness.check("started");
    const bus = await openBus(name, booted, config);
    const { services, consumers } = await compose({ ...booted, bus });
    const { LATHE_TLS_CERT_FILE: cert, LATHE_TLS_KEY_FILE: key, LATHE_TLS_CA_FILE: ca } = config;
    const server = await startServer({
      host: config.LATHE_GRPC_HOST,
      port: config.LATHE_GRPC_PORT,
      insecure: config.LATHE_GRPC_INSECURE,
      services,
      readiness,
      metrics,
      logger,
      tokens: config.LATHE_AUTH_TOKEN_FILE,
      tls: cert && key && { cert: cert.content, key: key.content, ...(ca && { ca: ca.content }) },
    });
    shutdown.step("gRPC", () => server.stop(config.LATHE_SHUTDOWN_GRACE / 2));
    for (const start of consumers) {
      const consumption = await start();
      shutdown.step("consumer", () => consumption.stop());
    }
    started.ok();
    ready({ grpcPort: server.port, httpPort: http.port });
  });
}

async function openBus<S extends ServiceSchema>(
  name: string,
  { logger, metrics, readiness, shutdown }: Booted<S>,
  config: z.output<z.ZodObject<typeof baseConfig>>,
): Promise<Bus> {
  const {
    LATHE_NATS_TLS_CA_FILE: ca,
    LATHE_NATS_TLS_CERT_FILE: cert,
    LATHE_NATS_TLS_KEY_FILE: key,
    LATHE_NATS_CREDS: creds,
  } = config;
  const bus = await connect({
    url: config.LATHE_NATS_URL,
    name,
    logger,
    signal: shutdown.signal,
    ...(creds && { credsFile: creds.path }),
    ...((ca ?? cert) && {
      tls: { ...(ca && { caFile: ca.path }), ...(cert && { certFile: cert.path }), ...(key && { keyFile: key.path }) },
    }),
  });
  shutdown.step("NATS", () => bus.drain());
  const check = readiness.check("nats");
  const look = () => {
    const status = bus.status();
    if (status.connected) check.ok();
    else check.fail(status.reason);
  };
  look();
  const timer = setInterval(look, 500);
  shutdown.step("NATS check", () => clearInterval(timer));
  busMetrics(bus, metrics);
  await provision(bus);
  return bus;
}

/** The bus counts for itself; a scrape reads it. */
function busMetrics(bus: Bus, metrics: Booted<ServiceSchema>["metrics"]): void {
  const total = (metric: string, help: string, count: () => number) =>
    metrics.counter(metric, help, [], (counter) => {
      counter.reset();
      counter.inc(count());
    });
  const { counters } = bus;
  total("nas_nats_reconnects_total", "Connections to NATS made again after a loss.", () => counters.reconnects);
  total("nas_nats_request_retries_total", "Requests to JetStream sent again.", () => counters.retries);
  total("nas_events_malformed_total", "Messages that could not be read.", () => counters.malformed);
  total("nas_redeliveries_total", "Events and work items delivered again.", () => counters.redeliveries);
  total("nas_job_lease_lost_total", "Work items whose lease was lost while in hand.", () => counters.leasesLost);
  metrics.gauge("nas_nats_connected", "1 while connected to NATS.", [], (gauge) =>
    gauge.set(bus.status().connected ? 1 : 0),
  );
}
