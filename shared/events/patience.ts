import { LatheError } from "../process/errors";
import type { Bus } from "./bus";
import type { StoredEvent } from "./catalog";
import { backoff } from "./consumer";
import { historyOnce, resumptionsOf } from "./history";
import { publishEvent } from "./publisher";
import type { Wait } from "./work";

/** The delays of an item whose data set is gone: from 1 s to 30 s, 5 minutes in all. Then its search is paused. */
const FIRST_DELAY_MS = 1000;
const MAX_WAITS = 14;

interface Patience {
  signal: AbortSignal;
  /** How often the item has waited. */
  waits: number;
  maxWaits?: number | undefined;
}

/**
 * Carries out an item. Where the files of its data set are gone, returns how long it is to wait, so that others get their turn; in
 * the end pauses its search with the reason. A volume that comes back must not cost a training. A search that has read no data yet fails
 * at once, because its path is more likely wrong.
 */
export async function patiently(
  bus: Bus,
  searchId: string,
  attempt: () => Promise<void>,
  { signal, waits, maxWaits = MAX_WAITS }: Patience,
): Promise<Wait | void> {
  try {
    await attempt();
  } catch (thrown) {
    const error = LatheError.from(thrown);
    if (!isGone(error) || signal.aborted) throw error;
    const history = await historyOnce(bus, searchId, 0, signal);
    if (!history.some(hasReadData)) throw error;
    if (waits >= maxWaits) return pause(bus, searchId, error, signal);
    bus.logger.warn("a work item waits for its data set", { searchId, waits, error });
    return { waitMs: backoff(FIRST_DELAY_MS, waits + 1) };
  }
}

/** Whether files of a data set are missing, or their file system does not answer. */
function isGone({ reason, code }: LatheError): boolean {
  return reason === "DATASET_INVALID" && (code === "NOT_FOUND" || code === "UNAVAILABLE");
}

function hasReadData({ event: { type } }: StoredEvent): boolean {
  return /epoch\.completed$/.test(type) || type === "candidate.evaluated" || type === "supernet.converged";
}

async function pause(bus: Bus, searchId: string, { message }: LatheError, signal: AbortSignal): Promise<void> {
  const data = { reason: "DATASET_UNREACHABLE", message };
  // A pause has no number of its own: it takes that of the next resumption.
  const options = { ordinal: (await resumptionsOf(bus, searchId)) + 1, signal };
  await publishEvent(bus, searchId, { type: "search.paused", data }, options);
}
