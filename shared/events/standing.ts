import type { HealthAlarmRaised } from "../proto/lathe/v1/events";
import { HealthAlarmKind } from "../proto/lathe/v1/result";
import { HealthPolicy } from "../proto/lathe/v1/spec";
import { eventOrdinal, type EventName, type StoredEvent } from "./catalog";

/** The events that make a work item superfluous, each with the reason in words, and where events of its name repeat, the first that does or the only one. */
export type Over = Partial<Record<EventName, string | { why: string; from: number } | { why: string; only: number }>>;

/** The state of a search for a worker that takes one of its items. */
export interface Standing {
  /** Why the item is skipped; undefined where it is to be carried out. */
  skip: string | undefined;
  /** Sequence of the newest event. */
  sequence: number;
  /** How often the search has been resumed. */
  resumptions: number;
}

/** In place of a resumption: an item that is wanted because its search has ended. */
export const AFTER_END = "after the end";

/** Computes from the history of a search whether an item of this resumption is to be carried out. */
export function standing(history: readonly StoredEvent[], over: Over, resumption: number | typeof AFTER_END): Standing {
  // Events without the first one come from workers that have not heard of the deletion.
  if (!history.some(({ event }) => event.type === "search.created"))
    return { skip: "the search is unknown: it has been deleted", sequence: 0, resumptions: 0 };
  let done: string | undefined;
  let ended: string | undefined;
  let failing: string | undefined;
  let failed = false;
  let paused = false;
  let resumptions = 0;
  for (const stored of history) {
    const { event } = stored;
    if (event.type === "search.resumed") {
      paused = failed = false;
      failing = undefined;
      resumptions = Math.max(resumptions, event.data.resumption);
    }
    const reason = stopReason(stored, resumptions);
    if (reason === "SEARCH_PAUSED") paused = true;
    else if (reason === "SEARCH_FAILED") {
      failing = endOf(stored);
      failed ||= event.type === "search.failed";
      // A search that has failed is not cancelled any more.
    } else if ((reason !== undefined && !failed) || event.type === "search.succeeded") ended = endOf(stored);
    done = reasonOf(over, stored) ?? done;
  }
  if (resumption === AFTER_END) return { skip: done, sequence: history.at(-1)?.sequence ?? 0, resumptions };
  const replaced = resumption < resumptions ? `resumption ${resumptions} has taken its place` : undefined;
  const skip = done ?? ended ?? failing ?? (paused ? "the search is paused" : replaced);
  return { skip, sequence: history.at(-1)?.sequence ?? 0, resumptions };
}

function reasonOf(over: Over, { event }: StoredEvent): string | undefined {
  const reason = over[event.type];
  if (typeof reason !== "object") return reason;
  const number = eventOrdinal(event) ?? 0;
  return ("only" in reason ? number === reason.only : number >= reason.from) ? reason.why : undefined;
}

type StopReason = "SEARCH_PAUSED" | "SEARCH_CANCELLED" | "SEARCH_FAILED";

/**
 * Why an event stops a worker in the middle of its item; undefined where it does not. A failure that a resumption of this number has
 * followed does not.
 */
export function stopReason({ event }: StoredEvent, resumptions: number): StopReason | undefined {
  switch (event.type) {
    case "search.paused":
      return "SEARCH_PAUSED";
    case "health.alarm.raised":
      return alarmStop(event.data);
    case "search.cancelled":
      return "SEARCH_CANCELLED";
    case "search.failed":
    case "work.failed":
      return event.data.resumption < resumptions ? undefined : "SEARCH_FAILED";
    default:
      return undefined;
  }
}

/** Why an alarm stops the workers of its search. The alarm itself pauses or fails the search, without another event. */
export function alarmStop({ policy }: HealthAlarmRaised): StopReason | undefined {
  if (policy === HealthPolicy.HEALTH_POLICY_PAUSE) return "SEARCH_PAUSED";
  return policy === HealthPolicy.HEALTH_POLICY_FAIL ? "SEARCH_FAILED" : undefined;
}

function endOf({ event }: StoredEvent): string {
  if (event.type === "work.failed") return `the search is failing (${event.data.reason})`;
  if (event.type === "health.alarm.raised") {
    const kind = HealthAlarmKind[event.data.kind] ?? String(event.data.kind);
    return `the search is failing (${kind.replace("HEALTH_ALARM_KIND_", "")})`;
  }
  return `the search has ended (${event.type})`;
}
