import type { StoredEvent } from "../../shared/events/catalog";
import { endSearchTrace } from "../../shared/process/tracing/searchTrace";
import type { Search } from "../../shared/proto/lathe/v1/search";

/** Where the event ends its search, the span that covers it whole, from its creation on. */
export function traceEnd({ id, createdAt, resumptions }: Search, { event, time }: StoredEvent): void {
  const start = createdAt ?? time;
  const attributes = { "lathe.outcome": event.type, "lathe.resumptions": resumptions };
  if (event.type === "search.succeeded" || event.type === "search.cancelled")
    endSearchTrace(id, { start, end: time, attributes });
  if (event.type === "search.failed") endSearchTrace(id, { start, end: time, attributes, failure: event.data });
}
