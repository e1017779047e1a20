import type { Bus } from "../events/bus";
import { standStill } from "../events/standStill";
import type { Metrics } from "../process/metrics";
import type { Shutdown } from "../process/shutdown";

/** Makes the computing processes of this service stand still while a latency worker measures on its machine, and counts the time. */
export function standStillForMeasurements({
  bus,
  metrics,
  shutdown,
}: {
  bus: Bus;
  metrics: Metrics;
  shutdown: Pick<Shutdown, "step">;
}): void {
  const seconds = metrics.counter(
    "nas_standstill_seconds_total",
    "Time in which the processes of a service stood still because a latency worker measured on its machine.",
  );
  seconds.inc({}, 0);
  const end = standStill(bus, { stood: (time) => seconds.inc({}, time) });
  shutdown.step("standstill", () => Promise.resolve(end()));
}
