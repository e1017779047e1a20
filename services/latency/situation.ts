import type { StoredEvent } from "../../shared/events/catalog";
import type { ProfileKind } from "./metrics";

/** How a search stands for a worker that takes one of its profiling items, by its history. */
interface Situation {
  /** Why there is nothing to measure; undefined: the item is to be carried out. */
  skip: string | undefined;
  /** Sequence of the newest event. */
  sequence: number;
}

/** Folds a history into what a work item of this kind finds. */
export function situation(history: readonly StoredEvent[], kind: ProfileKind): Situation {
  if (history.length === 0) return { skip: "the search is unknown: it has been deleted", sequence: 0 };
  let skip: string | undefined;
  let paused: string | undefined;
  for (const stored of history) {
    const { type } = stored.event;
    if (type === "search.resumed") paused = undefined;
    else if (type === "search.paused") paused = stopsMeasurement(stored);
    else skip ??= stopsMeasurement(stored);
    if (type === `${kind}.profiled`) skip ??= `${type} has been told`;
  }
  return { skip: skip ?? paused, sequence: history.at(-1)?.sequence ?? 0 };
}

/** Why an event makes a measurement of its search pointless; a resumed search asks for it again. Undefined where it does not. */
export function stopsMeasurement({ event }: StoredEvent): string | undefined {
  switch (event.type) {
    case "search.paused":
      return "the search is paused";
    case "search.cancelled":
    case "search.failed":
    case "search.succeeded":
      return `the search has ended (${event.type})`;
    case "work.failed":
      return `the search is failing (${event.data.reason})`;
    default:
      return undefined;
  }
}
