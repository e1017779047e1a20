import type { StoredEvent } from "../../shared/events/catalog";
import type {
  HealthAlarmRaised,
  RetrainingEpochCompleted,
  SamplingEpochCompleted,
} from "../../shared/proto/lathe/v1/events";
import { type ArtifactRef, RemovalReason } from "../../shared/proto/lathe/v1/result";
import type { EpochDecision } from "./training/port";
import type { Candidate } from "./training/algorithms/search";

/** The point from which a training resumes, read from the history of its search. */
interface Resumption {
  /** Newest epoch of the supernet whose checkpoint is stored. */
  epoch: { number: number; checkpoint: ArtifactRef; sequence: number; alarms: HealthAlarmRaised[] } | undefined;
  /** Algorithms random and evolution: the newest epoch of each training, by SamplingEpochCompleted.candidate. */
  samplingEpochs: Map<number, SamplingEpochCompleted>;
  /** Seconds of all these epochs. */
  samplingSeconds: number;
  /** Every evaluated network, by index. */
  candidates: Candidate[];
  /** Newest epoch of retraining. */
  retraining: RetrainingEpochCompleted | undefined;
}

/** Takes the newest of each kind of event. An older event that is stored again changes nothing. */
export function resumptionOf(history: readonly StoredEvent[]): Resumption {
  const found: Resumption = {
    epoch: undefined,
    samplingEpochs: new Map(),
    samplingSeconds: 0,
    candidates: [],
    retraining: undefined,
  };
  const candidates = new Map<number, Candidate>();
  for (const { event, sequence } of history) {
    switch (event.type) {
      case "epoch.completed": {
        const { metrics, checkpoint, alarms } = event.data;
        // An older epoch must not win: its checkpoint is deleted, and its decision has been made.
        if (metrics && checkpoint && metrics.epoch > (found.epoch?.number ?? 0))
          found.epoch = { number: metrics.epoch, checkpoint, sequence, alarms };
        break;
      }
      case "sampling.epoch.completed":
        if (event.data.epoch > (found.samplingEpochs.get(event.data.candidate)?.epoch ?? 0)) {
          found.samplingEpochs.set(event.data.candidate, event.data);
          found.samplingSeconds += event.data.seconds;
        }
        break;
      case "candidate.evaluated": {
        const { genotype, index } = event.data;
        if (genotype && !candidates.has(index)) candidates.set(index, { ...event.data, genotype });
        break;
      }
      case "retraining.epoch.completed":
        if (event.data.epoch > (found.retraining?.epoch ?? 0)) found.retraining = event.data;
        break;
      default:
    }
  }
  found.candidates = [...candidates.values()].sort((a, b) => a.index - b.index);
  return found;
}

/** The decision of an event on an epoch; undefined where the event is no decision on that epoch. */
export function decisionOn(epoch: number, { event }: StoredEvent): EpochDecision | undefined {
  if (event.type === "space.kept" && event.data.epoch === epoch)
    return { converged: event.data.converged, byBudget: false };
  if (event.type !== "space.shrunk" || event.data.epoch !== epoch) return undefined;
  const { architecture, converged, removals } = event.data;
  const byBudget = removals.some((removal) => removal.reason === RemovalReason.REMOVAL_REASON_BUDGET);
  return { ...(architecture && { architecture }), converged, byBudget };
}
