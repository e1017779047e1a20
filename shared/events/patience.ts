import { LatheError } from "../process/errors";
import type { Bus } from "./bus";
import type { StoredEvent } from "./catalog";
import { backoff } from "./consumer";
import { sleep } from "./faults";
import { historyOnce, resumptionsOf } from "./history";
import { publishEvent } from "./publisher";

/** How long a data set that is gone is waited for before its search is paused. */
const PATIENCE_MS = 5 * 60_000;
const FIRST_DELAY_MS = 1000;

/**
 * Carries out an item again while the files of its data set are gone, and then pauses its search with the reason: a volume that comes back
 * must not cost a training. A search that has read no data yet fails at once, because its path is more likely wrong.
 */
export async function patiently(
  bus: Bus,
  searchId: string,
  attempt: () => Promise<void>,
  signal: AbortSignal,
  patienceMs = PATIENCE_MS,
): Promise<void> {
  const began = performance.now();
  for (let attempts = 1; ; attempts++) {
    try {
      return await attempt();
    } catch (thrown) {
      const error = LatheError.from(thrown);
      if (!isGone(error) || signal.aborted) throw error;
      const history = await historyOnce(bus, searchId, 0, signal);
      if (!history.some(hasReadData)) throw error;
      if (performance.now() - began >= patienceMs) return pause(bus, searchId, error, signal);
      bus.logger.warn("a work item waits for its data set", { searchId, attempts, error });
      await sleep(backoff(FIRST_DELAY_MS, attempts), signal);
      if (signal.aborted) throw error;
    }
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
