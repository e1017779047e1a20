import type { Bus } from "../../shared/events/bus";
import type { LatheEvent, StoredEvent } from "../../shared/events/catalog";
import { consumeEvents, type GivenUp } from "../../shared/events/consumer";
import { newestEvent, resumptionsOf } from "../../shared/events/history";
import { publishEvent } from "../../shared/events/publisher";
import type { Consumption } from "../../shared/events/pulls";
import { DURABLES, eventFilter } from "../../shared/events/subjects";
import { LatheError } from "../../shared/process/errors";
import type { EpochCompleted } from "../../shared/proto/lathe/v1/events";
import { decideEpoch } from "../../shared/spec/shrinking";
import type { ShrinkingMetrics } from "./metrics";

/** The event that answers an epoch. It depends on the epoch alone, so a repetition answers the same. Throws what decideEpoch throws. */
export function answer(event: EpochCompleted): LatheEvent {
  const { epoch, removals, architecture, converged, log10Space, candidatesLeft } = decideEpoch(event);
  if (removals.length === 0) return { type: "space.kept", data: { epoch, converged } };
  return { type: "space.shrunk", data: { epoch, removals, architecture, log10Space, candidatesLeft, converged } };
}

/**
 * Answers each epoch.completed with space.shrunk or space.kept, or with work.failed where no decision can be made. A trainer begins no
 * epoch before it has the answer to the last one, which keeps the order of the epochs over all processes. A resumption asks for the answer
 * to the newest epoch again, because the search may have failed for the lack of it; an answer that is stored is not stored again.
 */
export async function consume(
  bus: Bus,
  metrics: ShrinkingMetrics,
  { backoffMs = 250 }: { backoffMs?: number } = {},
): Promise<Consumption> {
  const fail = async (searchId: string, { reason, message }: LatheError, deliveries: number) => {
    const data = { phase: "train", reason, message, deliveries, resumption: await resumptionsOf(bus, searchId) };
    await publishEvent(bus, searchId, { type: "work.failed", data });
  };
  const respond = async (
    { event, searchId }: StoredEvent,
    { attempts, signal }: { attempts: number; signal: AbortSignal },
  ): Promise<void> => {
    if (event.type !== "epoch.completed") return;
    let decision: LatheEvent;
    try {
      decision = answer(event.data);
    } catch (thrown) {
      const error = LatheError.from(thrown);
      if (error.reason !== "NOT_CONVERGED") throw error;
      // The policy asks for this failure.
      await fail(searchId, error, attempts);
      return;
    }
    const { duplicate } = await publishEvent(bus, searchId, decision, { signal });
    if (!duplicate && decision.type === "space.shrunk") metrics.removed(decision.data.removals);
  };
  const settings = {
    backoffMs,
    onGivenUp: async ({ stored, searchId, error, attempts }: GivenUp) => {
      // An event that cannot be read comes from no trainer that waits for an answer.
      if (stored && searchId !== undefined) await fail(searchId, error, attempts);
    },
  };
  const consumptions = await Promise.all([
    consumeEvents(bus, {
      ...settings,
      durable: DURABLES.shrinking,
      filter: eventFilter("epoch.completed"),
      handler: respond,
    }),
    consumeEvents(bus, {
      ...settings,
      durable: DURABLES.resumptions,
      filter: eventFilter("search.resumed"),
      handler: async ({ searchId }, context) => {
        const epoch = await newestEvent(bus, searchId, "epoch.completed");
        if (epoch) await respond(epoch, context);
      },
    }),
  ]);
  return { stop: async () => void (await Promise.all(consumptions.map((each) => each.stop()))) };
}
