import type { DatasetFigures } from "../../shared/proto/lathe/v1/result";
import type { WatchSearchResponse } from "../../shared/proto/lathe/v1/search";

type Event = NonNullable<WatchSearchResponse["event"]>;
type Data<K extends Event["$case"]> = Extract<Event, { $case: K }>["value"];

/** The data of the events of one kind, in their order. */
export function eventsOf<K extends Event["$case"]>(events: readonly WatchSearchResponse[], kind: K): Data<K>[] {
  const found: Event["value"][] = [];
  for (const { event } of events) if (event?.$case === kind) found.push(event.value);
  return found as Data<K>[];
}

/** The data that the first epoch of a search read, with what tells its files apart; undefined where no event says it. */
export function recordedData(events: readonly WatchSearchResponse[]): DatasetFigures | undefined {
  for (const { event } of events)
    if (event && "dataset" in event.value && event.value.dataset) return event.value.dataset;
  return undefined;
}
