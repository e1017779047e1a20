import type { SearchCreated } from "../../shared/proto/lathe/v1/events";
import type { EpochMetrics, Removal } from "../../shared/proto/lathe/v1/result";
import { CostMetric, type Dimension } from "../../shared/proto/lathe/v1/space";
import { AlgorithmKind, DatasetKind } from "../../shared/proto/lathe/v1/spec";
import { dimensionMetrics, initialArchitecture } from "../../shared/space/groups";
import { log10Size } from "../../shared/space/size";
import { givenGenotype, isSampling } from "../../shared/spec/algorithm";
import { targetSeconds } from "../../shared/spec/target";
import { enumWord } from "../../shared/spec/bounds";
import type { PhaseName } from "../../shared/spec/phases";

type PhaseStatus = "waiting" | "running" | "done" | "failed";

export interface Phase {
  name: PhaseName;
  status: PhaseStatus;
  /** Finished and planned epochs; both are 0 for a phase without epochs. */
  epoch: number;
  epochs: number;
  /** Finished and planned steps of the running epoch. */
  step: number;
  steps: number;
  /** Seconds of each finished epoch. */
  epochSeconds: number[];
  /** Numbers of the epochs that have ended, where several trainings may alternate; else they are those up to `epoch`. */
  done?: readonly number[];
}

interface Candidates {
  dimension: Dimension;
  now: number;
  start: number;
  undecided: number;
}

/** The state of one search as the terminal shows it, computed only from its events. */
export interface SearchView {
  searchId: string;
  /** "tiny on streets, seed 1". */
  title: string;
  state: "pending" | "running" | "paused" | "succeeded" | "failed" | "cancelled";
  /** Time of the first event, in milliseconds since the epoch. */
  startedAt?: number | undefined;
  phases: Phase[];
  epoch?: EpochMetrics;
  /** Loss of the last reported step. */
  stepLoss?: number;
  costTarget: number;
  /** Whether the target is a latency: the derived network is measured, and repaired if need be. */
  byLatency?: boolean;
  /** The event that created the search. */
  created?: SearchCreated;
  candidates: Candidates[];
  log10Now: number;
  log10Start: number;
  lastRemovals?: { epoch: number; removals: Removal[] };
  /** Algorithms random and evolution: networks evaluated, their planned number, and the best validation mIoU so far. */
  evaluated?: { networks: number; of: number; bestMiou: number };
  supernetMiou?: number | undefined;
  discreteMiou?: number;
  retrainedMiou?: number;
  retrainingLoss?: number;
  lastAlarm?: { name: string; epoch: number; message: string };
  /** The latency worker that the search waits for. */
  waiting?: string | undefined;
  /** Why the search failed or was cancelled. */
  reason?: string | undefined;
}

export function initialView(searchId: string): SearchView {
  const nothing = { phases: [], candidates: [], costTarget: 0, log10Now: 0, log10Start: 0 };
  return { searchId, title: "", state: "pending", ...nothing };
}

function phase(name: PhaseName, epochs = 0): Phase {
  return { name, status: "waiting", epoch: 0, epochs, step: 0, steps: 0, epochSeconds: [] };
}

/** The view after the event searchCreated, which carries the resolved spec and the initial space. */
export function created(before: SearchView, event: SearchCreated): SearchView {
  const { spec, space, origin } = event;
  if (!spec || !space) return before;
  const view = { ...before, created: event };
  const retraining = spec.retraining?.epochs ?? 0;
  const kind = enumWord(DatasetKind, "DATASET_KIND_", spec.dataset?.kind ?? 0);
  const title = `${spec.preset} on ${kind}, seed ${spec.seed ?? 0}`;
  if (givenGenotype(spec))
    return {
      ...view,
      title: `given network, ${title}`,
      state: "running",
      phases: [{ ...phase("retrain", retraining), status: "running" }, phase("profile")],
    };
  const sampling = isSampling(spec);
  const byLatency = targetSeconds(spec.cost) !== undefined;
  const inOrigin = [
    ...(spec.cost?.metric === CostMetric.COST_METRIC_LATENCY ? [phase("operators")] : []),
    // The events of the first candidate report the epochs per network.
    phase("search", sampling ? 0 : (spec.training?.epochs ?? 0)),
  ];
  const phases = [
    ...(origin ? [] : inOrigin),
    ...(sampling && !byLatency ? [] : [phase("derive")]),
    ...(retraining > 0 ? [phase("retrain", retraining)] : []),
    phase("profile"),
  ];
  const [first, ...rest] = phases;
  const size = log10Size(space);
  const algorithm = enumWord(AlgorithmKind, "ALGORITHM_KIND_", spec.algorithm?.kind ?? 0);
  return {
    ...view,
    title: sampling ? `${algorithm}, ${title}` : title,
    state: "running",
    phases: first ? [{ ...first, status: "running" }, ...rest] : [],
    costTarget: spec.cost?.target ?? 0,
    byLatency,
    // Algorithms that sample whole networks remove no candidates.
    candidates: (sampling ? [] : dimensionMetrics(space, initialArchitecture(space))).map(
      ({ dimension, candidates: all, undecidedGroups: undecided }) => ({ dimension, now: all, start: all, undecided }),
    ),
    log10Now: size,
    log10Start: size,
  };
}

const recentEpochs = 3;

/** Estimated seconds until a phase ends, from its last epochs (epochs get shorter as the space shrinks); undefined before the first. */
export function secondsLeft({ epoch, epochs, step, steps, epochSeconds }: Phase): number | undefined {
  const recent = epochSeconds.slice(-recentEpochs);
  if (recent.length === 0) return undefined;
  const perEpoch = recent.reduce((sum, one) => sum + one, 0) / recent.length;
  const begun = steps > 0 ? step / steps : 0;
  return Math.max(0, epochs - epoch - begun) * perEpoch;
}
