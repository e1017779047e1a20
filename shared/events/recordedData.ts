import type { DatasetFigures } from "../proto/lathe/v1/result";
import type { StoredEvent } from "./catalog";

/** The data that the first epoch of a search read, from its history; undefined before the end of that epoch. */
export function recordedData(history: readonly StoredEvent[]): DatasetFigures | undefined {
  for (const { event } of history)
    if ("dataset" in event.data && event.data.dataset !== undefined) return event.data.dataset;
  return undefined;
}
