import type { Notices } from "../../../shared/process/port";
import type { Store } from "../../../shared/network/export";
import type {
  CandidateEvaluated,
  EpochCompleted,
  HealthAlarmRaised,
  RetrainingEpochCompleted,
  SamplingEpochCompleted,
} from "../../../shared/proto/lathe/v1/events";
import type { ArtifactRef } from "../../../shared/proto/lathe/v1/result";
import type { Architecture } from "../../../shared/proto/lathe/v1/space";

/**
 * Calls of the training process to its service. A method that returns a promise waits for the service's reply. Each method is declared
 * here alone: its message (shared/process/port.ts) and its handler (services/supernet/trainer.ts) follow from this interface.
 */
export interface TrainingCalls extends Store {
  /** Stores the state from which this training can resume. */
  storeCheckpoint(bytes: Uint8Array): Promise<ArtifactRef>;
  /** Publishes an epoch of a supernet, and returns the decision of the shrinking service on it. */
  completeEpoch(event: EpochCompleted): Promise<EpochDecision>;
  completeSamplingEpoch(event: SamplingEpochCompleted): Promise<void>;
  completeRetrainingEpoch(event: RetrainingEpochCompleted): Promise<void>;
  /** Publishes a network that a search by random or evolution has evaluated. */
  completeCandidate(event: CandidateEvaluated): Promise<void>;
  /** Publishes an alarm of an epoch that does not complete. */
  raise(alarm: HealthAlarmRaised): Promise<void>;
  progress(progress: StepProgress): void;
  compiled(steps: CompiledSteps): void;
}

/** The calls, and the signal that stops the training between two steps. */
export type TrainingPort = TrainingCalls & { signal: AbortSignal };

export const NOTICES: Notices<TrainingCalls> = { progress: true, compiled: true };

/** Answer of the shrinking service to an epoch. */
export interface EpochDecision {
  /** The survivors from the next epoch on; absent where every candidate stays. */
  architecture?: Architecture;
  converged: boolean;
  /** The epochs ended, and argmax decided the groups that were still open. */
  byBudget: boolean;
}

/** Steps that have been compiled for an epoch. */
export interface CompiledSteps {
  epoch: number;
  /** "blocked", or "plain" with the reason. */
  formulation: string;
  /** Nodes of the graphs of both steps. */
  nodes: number;
  /** Time to trace and compile the steps and the evaluation. */
  seconds: number;
  /** Memory that the training is estimated to hold with them; 0: not estimated. */
  estimatedBytes: number;
}

/** Progress of a training: epochs and steps are counted from 1; `loss` is the mean over the steps of the epoch so far. */
export interface StepProgress {
  epoch: number;
  epochs: number;
  step: number;
  steps: number;
  loss: number;
}
