import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from "prom-client";

/** The registry of a process and factories of metrics in it. Names end in the unit, those of counters in _total. */
export interface Metrics {
  registry: Registry;
  /** `collect` runs at each scrape and sets the counter to a total that is counted elsewhere. */
  counter<L extends string = never>(
    name: string,
    help: string,
    labels?: readonly L[],
    collect?: (counter: Counter<L>) => void,
  ): Counter<L>;
  /** `collect` runs at each scrape and sets the value. */
  gauge<L extends string = never>(
    name: string,
    help: string,
    labels?: readonly L[],
    collect?: (gauge: Gauge<L>) => void | Promise<void>,
  ): Gauge<L>;
  histogram<L extends string = never>(
    name: string,
    help: string,
    buckets: readonly number[],
    labels?: readonly L[],
  ): Histogram<L>;
}

/** Gauges of prom-client with the names of counters, which promtool refuses. */
const misnamed = ["nodejs_active_handles_total", "nodejs_active_requests_total", "nodejs_active_resources_total"];

/** The metrics of this process, with Node's own (CPU, memory, event-loop lag, GC). */
export function createMetrics(): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  for (const name of misnamed) registry.removeSingleMetric(name);
  const registers = [registry];
  return {
    registry,
    counter: (name, help, labelNames = [], collect) =>
      new Counter({ name, help, labelNames, registers, ...scraped(collect) }),
    gauge: (name, help, labelNames = [], collect) =>
      new Gauge({ name, help, labelNames, registers, ...scraped(collect) }),
    histogram: (name, help, buckets, labelNames = []) =>
      new Histogram({ name, help, labelNames, buckets: [...buckets], registers }),
  };
}

/** The setting with which prom-client calls `collect` at each scrape. */
function scraped<M>(collect: ((metric: M) => void | Promise<void>) | undefined) {
  return (
    collect && {
      collect(this: M) {
        return collect(this);
      },
    }
  );
}
