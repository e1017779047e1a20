import type { Bus } from "../../shared/events/bus";
import type { Consumption } from "../../shared/events/consumer";
import { publishEvent } from "../../shared/events/publisher";
import type { Quota } from "../../shared/events/quota";
import { takeWork } from "../../shared/events/work";
import type { Trainer } from "./trainer";

/** Work of one kind, an item at a time; what cannot be carried out is told as work.failed. */
export function consume(
  bus: Bus,
  trainer: Trainer,
  kind: "train" | "retrain",
  leaseMs = 60_000,
  quota?: Quota,
): Promise<Consumption> {
  return takeWork(bus, {
    kind,
    handler: (work, { signal }) => trainer.carryOut(work, signal),
    onExhausted: async ({ work, deliveries, error }) => {
      if (!work) return;
      const { reason, message } = error;
      const data = { phase: kind, reason, message, deliveries };
      await publishEvent(bus, work.searchId, { type: "work.failed", data });
    },
    maxDeliveries: 3,
    ackWaitMs: leaseMs,
    ...(quota && { quota }),
  });
}
