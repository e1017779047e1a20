import type { StoredEvent } from "../../shared/events/catalog";
import type {
  HealthAlarmRaised,
  RetrainingEpochCompleted,
  SamplingEpochCompleted,
} from "../../shared/proto/lathe/v1/events";
import type { ArtifactRef } from "../../shared/proto/lathe/v1/result";
import { RemovalReason } from "../../shared/proto/lathe/v1/result";
import { HealthPolicy } from "../../shared/proto/lathe/v1/spec";
import { alarmReason } from "../../shared/spec/health";
import type { Candidate, Decision } from "./train";

/** How a search stands for a worker that takes one of its items, by its history. */
interface Situation {
  /** Why there is nothing to do; undefined: the item is to be carried out. */
  skip: string | undefined;
  /** Newest epoch of the supernet whose checkpoint is stored. */
  epoch: { number: number; checkpoint: ArtifactRef; sequence: number; alarms: HealthAlarmRaised[] } | undefined;
  /** Of algorithms random and evolution: the newest epoch, and every network that has its figure, in order. */
  samplingEpoch: SamplingEpochCompleted | undefined;
  candidates: Candidate[];
  /** Newest epoch of retraining. */
  retraining: RetrainingEpochCompleted | undefined;
  /** Sequence of the newest event. */
  sequence: number;
}

/** Folds a history into what a `phase` work item of a resumption finds. */
export function situation(history: readonly StoredEvent[], phase: "train" | "retrain", resumption: number): Situation {
  const found: Situation = {
    skip: undefined,
    epoch: undefined,
    retraining: undefined,
    samplingEpoch: undefined,
    candidates: [],
    sequence: 0,
  };
  let paused = false;
  let resumptions = 0;
  for (const { event, sequence } of history) {
    found.sequence = sequence;
    switch (event.type) {
      case "search.paused":
        paused = true;
        break;
      case "search.resumed":
        paused = false;
        resumptions = Math.max(resumptions, event.data.resumption);
        break;
      case "search.cancelled":
      case "search.failed":
      case "search.succeeded":
        found.skip = `the search has ended (${event.type})`;
        break;
      case "work.failed":
        found.skip = `the search is failing (${event.data.reason})`;
        break;
      case "epoch.completed":
        // The first of an epoch counts, and no older one that is told again: its checkpoint is gone, and so is the wait for its decision.
        if (event.data.metrics && event.data.checkpoint && event.data.metrics.epoch > (found.epoch?.number ?? 0))
          found.epoch = {
            number: event.data.metrics.epoch,
            checkpoint: event.data.checkpoint,
            sequence,
            alarms: event.data.alarms,
          };
        break;
      case "health.alarm.raised":
        paused ||= event.data.policy === HealthPolicy.HEALTH_POLICY_PAUSE;
        if (event.data.policy === HealthPolicy.HEALTH_POLICY_FAIL)
          found.skip = `the search is failing (${alarmReason(event.data.kind)})`;
        break;
      case "sampling.epoch.completed":
        if (event.data.epoch > (found.samplingEpoch?.epoch ?? 0)) found.samplingEpoch = event.data;
        break;
      case "candidate.evaluated": {
        const { genotype, index } = event.data;
        // They come in order; one that is told again changes nothing.
        if (genotype && index === found.candidates.length + 1) found.candidates.push({ ...event.data, genotype });
        break;
      }
      case "architecture.derived":
        if (phase === "train") found.skip = "the network is derived";
        break;
      case "retraining.epoch.completed":
        if (event.data.epoch > (found.retraining?.epoch ?? 0)) found.retraining = event.data;
        break;
      case "supernet.converged":
        if (phase === "train") found.skip = "the supernet is trained";
        break;
      case "network.trained":
        if (phase === "retrain") found.skip = "the network is trained";
        break;
      default:
    }
  }
  if (!found.skip && paused) found.skip = "the search is paused";
  if (!found.skip && resumption < resumptions) found.skip = `resumption ${resumptions} has taken its place`;
  return found;
}

/** The decision that an event states on an epoch; undefined where it states none. */
export function decisionOn(epoch: number, { event }: StoredEvent): Decision | undefined {
  if (event.type === "space.kept" && event.data.epoch === epoch)
    return { converged: event.data.converged, byBudget: false };
  if (event.type !== "space.shrunk" || event.data.epoch !== epoch) return undefined;
  const { architecture, converged, removals } = event.data;
  const byBudget = removals.some((removal) => removal.reason === RemovalReason.REMOVAL_REASON_BUDGET);
  return { ...(architecture && { architecture }), converged, byBudget };
}

/** Why an event stops a worker in the middle of its item; undefined where it does not. */
export function stopsWorker({ event }: StoredEvent): string | undefined {
  switch (event.type) {
    case "search.paused":
      return "SEARCH_PAUSED";
    case "health.alarm.raised":
      return stopOf(event.data);
    case "search.cancelled":
      return "SEARCH_CANCELLED";
    case "search.failed":
    case "work.failed":
      return "SEARCH_FAILED";
    default:
      return undefined;
  }
}

/** How an alarm stops the worker that raises it: its policy takes effect by the event itself. */
export function stopOf({ policy }: HealthAlarmRaised): string | undefined {
  if (policy === HealthPolicy.HEALTH_POLICY_PAUSE) return "SEARCH_PAUSED";
  return policy === HealthPolicy.HEALTH_POLICY_FAIL ? "SEARCH_FAILED" : undefined;
}
