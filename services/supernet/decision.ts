import type { StoredEvent } from "../../shared/events/catalog";
import { RemovalReason } from "../../shared/proto/lathe/v1/result";
import type { Decision } from "./training/port";

/** The decision that an event states on an epoch; undefined where it states none. */
export function decisionOn(epoch: number, { event }: StoredEvent): Decision | undefined {
  if (event.type === "space.kept" && event.data.epoch === epoch)
    return { converged: event.data.converged, byBudget: false };
  if (event.type !== "space.shrunk" || event.data.epoch !== epoch) return undefined;
  const { architecture, converged, removals } = event.data;
  const byBudget = removals.some((removal) => removal.reason === RemovalReason.REMOVAL_REASON_BUDGET);
  return { ...(architecture && { architecture }), converged, byBudget };
}
