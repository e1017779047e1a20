import type { Bus } from "../../shared/events/bus";
import type { Consumption } from "../../shared/events/pulls";
import type { Quota } from "../../shared/events/quota";
import { consumeWork } from "../../shared/events/searchWork";
import type { Over } from "../../shared/events/standing";
import type { Trainer, TrainingKind } from "./trainer";

const OVER: Record<TrainingKind, Over> = {
  train: { "supernet.converged": "the supernet is trained", "architecture.derived": "the network is derived" },
  retrain: { "network.trained": "the network is trained" },
};

/** Takes the items of both queues, one at a time: two trainings would halve each other and double the memory. */
export function consume(bus: Bus, trainer: Trainer, leaseMs = 60_000, quota?: Quota): Promise<Consumption> {
  return consumeWork<TrainingKind>(bus, {
    queues: [{ kind: "train" }, { kind: "retrain" }],
    over: ({ kind }) => OVER[kind],
    handler: (work, inHand) => trainer.carryOut(work, inHand),
    ackWaitMs: leaseMs,
    quota,
  });
}
