import type { Booted } from "../process/boot";
import type { NatsConfig } from "../process/config";
import type { Metrics } from "../process/metrics";
import { connect, type Bus, type BusOptions } from "./bus";
import { queueMetrics } from "./queues";
import { knownLoss } from "./serverFaults";
import { DURABLES } from "./subjects";
import { Upkeep } from "./upkeep";

/** The parts of a booted process that the bus needs. */
type Process = Pick<Booted<never>, "logger" | "metrics" | "readiness" | "shutdown"> & { config: NatsConfig };

const STATUS_POLL_MS = 250;

/** Durables of other services that a service reports as well, as its user in deploy/nats/permissions.conf permits. */
const OBSERVED: Readonly<Record<string, readonly string[]>> = { search: [DURABLES.shrinking, DURABLES.resumptions] };

/**
 * The bus of a service process: connected within 10 s or UNAVAILABLE, its streams provisioned and kept, its state in readiness as "nats",
 * "streams" and "storage" and in the metrics, drained at the stop. A connection that is closed for good stops the process with exit code 1.
 */
export async function openBus(name: string, { config, logger, metrics, readiness, shutdown }: Process): Promise<Bus> {
  const check = readiness.check("nats", "connecting");
  const streams = readiness.check("streams", "not known before NATS is connected");
  // Reported without a gate: while NATS has no room, clients must still read searches, and delete them to make room.
  const storage = readiness.check("storage", "not known before NATS is connected", { gates: false });
  const bus = await connect({ ...busSettings(config), name, logger, signal: shutdown.signal });
  shutdown.step("nats", () => bus.drain());
  bus.onClosed((error) => {
    logger.error(error.message, { error });
    void shutdown.stop("NATS closed", 1);
  });
  const loss = knownLoss(bus.connection.info?.version ?? "");
  if (loss !== undefined) logger.warn(loss);
  busMetrics(metrics, bus);
  queueMetrics(metrics, bus, OBSERVED[name]);
  bus.room.follow();
  const upkeep = await Upkeep.start(bus, { replicas: config.LATHE_NATS_REPLICAS }, shutdown.signal);
  const follow = () => {
    const status = bus.status();
    if (status.connected) check.ok();
    else check.fail(status.reason);
    const broken = upkeep.fault();
    if (broken === undefined) streams.ok();
    else streams.fail(broken);
    const fault = bus.room.fault();
    if (fault === undefined) storage.ok();
    else storage.fail(fault);
  };
  follow();
  const timer = setInterval(follow, STATUS_POLL_MS);
  shutdown.signal.addEventListener("abort", () => clearInterval(timer), { once: true });
  return bus;
}

/** The part of `connect`'s options that the configuration of a process decides. */
export function busSettings(config: NatsConfig): Pick<BusOptions, "url" | "credsFile" | "prefix" | "tls"> {
  const caFile = config.LATHE_NATS_TLS_CA_FILE?.path;
  const certFile = config.LATHE_NATS_TLS_CERT_FILE?.path;
  const keyFile = config.LATHE_NATS_TLS_KEY_FILE?.path;
  const tls = {
    ...(caFile !== undefined && { caFile }),
    ...(certFile !== undefined && { certFile }),
    ...(keyFile !== undefined && { keyFile }),
  };
  return {
    url: config.LATHE_NATS_URL,
    prefix: config.LATHE_NATS_PREFIX,
    ...(config.LATHE_NATS_CREDS && { credsFile: config.LATHE_NATS_CREDS.path }),
    ...(Object.keys(tls).length > 0 && { tls }),
  };
}

function busMetrics(metrics: Metrics, bus: Bus): void {
  const total = (name: string, help: string, counter: keyof Bus["counters"]) =>
    metrics.counter(name, help, [], (metric) => {
      metric.reset();
      metric.inc(bus.counters[counter]);
    });
  total("nas_nats_reconnects_total", "Reconnections to NATS.", "reconnects");
  total("nas_nats_retries_total", "Requests to NATS that were sent again for want of an answer.", "retries");
  total("nas_nats_malformed_total", "Messages that could not be read.", "malformed");
  total("nas_events_dropped_total", "Events that were given up after their attempts.", "dropped");
  total("nas_dead_letters_total", "Messages that this process has moved to the dead letters.", "deadLetters");
  total("nas_jetstream_redelivered_total", "Deliveries of a message that had been delivered before.", "redeliveries");
  total("nas_job_lease_lost_total", "Deliveries in hand whose lease was lost.", "leasesLost");
  metrics.gauge("nas_nats_connected", "1 while connected to NATS, else 0.", [], (gauge) =>
    gauge.set(bus.status().connected ? 1 : 0),
  );
}
