import type { Gauge } from "prom-client";
import type { Metrics } from "../process/metrics";
import type { Bus } from "./bus";
import { api } from "./jetstream";

interface ConsumerInfo {
  num_pending: number;
  num_ack_pending: number;
  num_redelivered: number;
}

/** A scrape asks once for all of its gauges. */
const FRESH_MS = 1_000;

/** What waits in the durables that this process pulls from, asked of NATS at each scrape; no series while NATS does not answer. */
export function queueMetrics(metrics: Metrics, bus: Bus): void {
  let asked: { at: number; infos: Promise<[durable: string, stream: string, info: ConsumerInfo][]> } | undefined;
  const ask = () =>
    Promise.all(
      [...bus.durables].map(async ([durable, stream]): Promise<[string, string, ConsumerInfo]> => {
        const request = { what: `consumer ${durable}`, timeoutMs: 1_000, retryForMs: 0 };
        return [
          durable,
          stream,
          await api<ConsumerInfo>(bus, `CONSUMER.INFO.${stream}.${durable}`, undefined, request),
        ];
      }),
    ).catch(() => {
      // nas_nats_connected and readiness tell of an outage; a scrape must not fail with it.
      return [];
    });
  const infos = () => {
    if (!bus.status().connected) return Promise.resolve([]);
    if (!asked || Date.now() - asked.at > FRESH_MS) asked = { at: Date.now(), infos: ask() };
    return asked.infos;
  };
  const collect = (value: (info: ConsumerInfo) => number) => async (gauge: Gauge<"stream" | "consumer">) => {
    const found = await infos();
    gauge.reset();
    for (const [consumer, stream, info] of found) gauge.set({ stream, consumer }, value(info));
  };
  const labels = ["stream", "consumer"] as const;
  metrics.gauge(
    "nas_jetstream_consumer_pending",
    "Messages that nobody has taken yet.",
    labels,
    collect(({ num_pending }) => num_pending),
  );
  metrics.gauge(
    "nas_jetstream_consumer_ack_pending",
    "Messages that were taken and are not done.",
    labels,
    collect(({ num_ack_pending }) => num_ack_pending),
  );
  metrics.gauge(
    "nas_jetstream_consumer_redelivered",
    "Messages not done that have been delivered more than once.",
    labels,
    collect(({ num_redelivered }) => num_redelivered),
  );
}
