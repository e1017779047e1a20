import type { WatchSearchResponse } from "../../shared/proto/lathe/v1/search";

type Event = NonNullable<WatchSearchResponse["event"]>;
type Data<K extends Event["$case"]> = Extract<Event, { $case: K }>["value"];

/** The data of the events of one kind, in their order. */
export function eventsOf<K extends Event["$case"]>(events: readonly WatchSearchResponse[], kind: K): Data<K>[] {
  const found: Event["value"][] = [];
  for (const { event } of events) if (event?.$case === kind) found.push(event.value);
  return found as Data<K>[];
}
