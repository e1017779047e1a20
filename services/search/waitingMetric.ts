import type { Metrics } from "../../shared/process/metrics";
import { SearchState, type Search } from "../../shared/proto/lathe/v1/search";
import { isUnserved } from "../../shared/spec/deviceClass";
import { classOf } from "./devices";

/** Clients choose the names of classes, so a process reports at most this many of them; the searches of further ones count as "other". */
const MOST_CLASSES = 20;

/** The gauge of the searches that wait for a latency worker, by device class. A class that is known stays, at 0. */
export function showWaiting(metrics: Metrics, searches: () => Iterable<Search>): void {
  const known = new Set(["cpu"]);
  metrics.gauge(
    "nas_search_waiting",
    "Searches that wait for a latency worker, or will at their end, by device class.",
    ["device_class"],
    (gauge) => {
      const waiting = new Map([...known].map((name) => [name, 0]));
      for (const search of searches()) {
        if (search.state === SearchState.SEARCH_STATE_PAUSED || !search.conditions.some(isUnserved)) continue;
        const deviceClass = classOf(search);
        if (known.size < MOST_CLASSES) known.add(deviceClass);
        const name = known.has(deviceClass) ? deviceClass : "other";
        waiting.set(name, (waiting.get(name) ?? 0) + 1);
      }
      gauge.reset();
      for (const [device_class, count] of waiting) gauge.set({ device_class }, count);
    },
  );
}
