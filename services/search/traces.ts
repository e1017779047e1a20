import type { EventName, StoredEvent } from "../../shared/events/catalog";
import { endSearchTrace } from "../../shared/process/tracing/searchTrace";
import { SearchState, type Search } from "../../shared/proto/lathe/v1/search";

const ENDS: Partial<Record<EventName, SearchState>> = {
  "search.succeeded": SearchState.SEARCH_STATE_SUCCEEDED,
  "search.cancelled": SearchState.SEARCH_STATE_CANCELLED,
  "search.failed": SearchState.SEARCH_STATE_FAILED,
};

/** Where the event ends its search, the span that covers it whole, from its creation on; an end that came after another is none. */
export function traceEnd({ id, createdAt, resumptions, state }: Search, { event, time }: StoredEvent): void {
  if (ENDS[event.type] !== state) return;
  const start = createdAt ?? time;
  const attributes = { "lathe.outcome": event.type, "lathe.resumptions": resumptions };
  const failure = event.type === "search.failed" ? event.data : undefined;
  endSearchTrace(id, { start, end: time, attributes, ...(failure && { failure }) });
}
