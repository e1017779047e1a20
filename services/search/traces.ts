import type { StoredEvent } from "../../shared/events/catalog";
import { endSearchTrace } from "../../shared/process/tracing/searchTrace";
import type { Search } from "../../shared/proto/lathe/v1/search";
import { ENDS, isEnd } from "./record";

/** Where the event ends its search, the span that covers it whole, from its creation on; an end that came after another is none. */
export function traceEnd({ id, createdAt, resumptions, state }: Search, { event, time }: StoredEvent): void {
  if (!isEnd(event.type) || ENDS[event.type] !== state) return;
  const start = createdAt ?? time;
  const attributes = { "lathe.outcome": event.type, "lathe.resumptions": resumptions };
  const failure = event.type === "search.failed" ? event.data : undefined;
  endSearchTrace(id, { start, end: time, attributes, ...(failure && { failure }) });
}
