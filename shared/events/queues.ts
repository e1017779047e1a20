import type { ConsumerInfo } from "nats";
import type { Gauge } from "prom-client";
import { LatheError } from "../process/errors";
import type { Metrics } from "../process/metrics";
import type { Bus } from "./bus";
import { api } from "./jetstream";
import { DEAD_LETTERS_STREAM, EVENTS_STREAM, WORK_STREAM } from "./subjects";

/** All gauges of a scrape share one answer. */
const FRESH_MS = 1_000;

interface Queues {
  consumers: ConsumerInfo[];
  /** Work items that belong to no consumer, neither as pending nor in hand; undefined while NATS does not answer. */
  stuck?: number;
  /** Undefined while NATS does not answer. */
  deadLetters?: number;
}

/**
 * Registers gauges of the work queues (all of them), of the event durables of this process and of the event durables in `others`. Each scrape
 * asks NATS. `others` names durables of other services: a service that is down cannot report its own. There is no series while NATS does
 * not answer, and none for a durable that does not exist.
 */
export function queueMetrics(metrics: Metrics, bus: Bus, others: readonly string[] = []): void {
  let asked: { at: number; queues: Promise<Queues> } | undefined;
  const request = { what: "metrics of the queues", timeoutMs: 1_000, retryForMs: 0 };
  const ask = async (): Promise<Queues> => {
    const own = [...bus.durables].flatMap(([durable, stream]) => (stream === EVENTS_STREAM ? [durable] : []));
    const info = (durable: string) => api(bus, request, ({ consumers }) => consumers.info(EVENTS_STREAM, durable));
    const neverMade = (error: unknown) => {
      if (LatheError.from(error).code === "NOT_FOUND") return [];
      throw error;
    };
    try {
      const [workers, { state }, dead, ...events] = await Promise.all([
        // One consumer for each kind and device class: they fit on one page of the list.
        api(bus, request, ({ consumers }) => consumers.list(WORK_STREAM).next()),
        api(bus, request, ({ streams }) => streams.info(WORK_STREAM)),
        api(bus, request, ({ streams }) => streams.info(DEAD_LETTERS_STREAM)),
        ...[...new Set([...own, ...others])].map((durable) => info(durable).catch(neverMade)),
      ]);
      const seen = workers.reduce((sum, { num_pending, num_ack_pending }) => sum + num_pending + num_ack_pending, 0);
      return {
        consumers: [...workers, ...events.flat()],
        stuck: Math.max(0, state.messages - seen),
        deadLetters: dead.state.messages,
      };
    } catch {
      // nas_nats_connected and readiness report an outage; a scrape must not fail because of it.
      return { consumers: [] };
    }
  };
  const queues = () => {
    if (!bus.status().connected) return Promise.resolve<Queues>({ consumers: [] });
    if (!asked || performance.now() - asked.at > FRESH_MS) asked = { at: performance.now(), queues: ask() };
    return asked.queues;
  };
  const collect = (value: (info: ConsumerInfo) => number) => async (gauge: Gauge<"stream" | "consumer">) => {
    const { consumers } = await queues();
    gauge.reset();
    for (const info of consumers) gauge.set({ stream: info.stream_name, consumer: info.name }, value(info));
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
  metrics.gauge(
    "nas_jetstream_consumer_idle",
    "Pulls of this process that wait for a message, 0 while all have one in hand.",
    labels,
    (gauge) => {
      gauge.reset();
      for (const [consumer, stream] of bus.durables) gauge.set({ stream, consumer }, bus.idle.get(consumer) ?? 0);
    },
  );
  metrics.gauge(
    "nas_dead_letters",
    "Messages among the dead letters: no service can handle them.",
    [],
    async (gauge) => {
      const { deadLetters } = await queues();
      gauge.reset();
      if (deadLetters !== undefined) gauge.set(deadLetters);
    },
  );
  metrics.gauge(
    "nas_jetstream_stuck_messages",
    "Work items that no consumer has waiting or in hand: nobody will ever take them.",
    ["stream"],
    async (gauge) => {
      const { stuck } = await queues();
      gauge.reset();
      if (stuck !== undefined) gauge.set({ stream: WORK_STREAM }, stuck);
    },
  );
}
