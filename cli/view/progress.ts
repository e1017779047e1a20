import {
  DecidedBy,
  type DimensionMetrics,
  type EpochMetrics,
  type Removal,
  type SearchResult,
} from "../../shared/proto/lathe/v1/result";
import type { WatchSearchResponse } from "../../shared/proto/lathe/v1/search";
import { CostMetric, type Architecture, type Dimension, type SearchSpace } from "../../shared/proto/lathe/v1/space";
import { AlgorithmKind, DatasetKind, HealthPolicy, type SearchSpec } from "../../shared/proto/lathe/v1/spec";
import { dimensionMetrics, initialArchitecture } from "../../shared/space/groups";
import { log10Size } from "../../shared/space/size";
import { givenGenotype, isSampling } from "../../shared/spec/algorithm";
import { alarmReason } from "../../shared/spec/health";
import { phaseOfProgress, type PhaseName } from "../../shared/spec/phases";
import { enumWord } from "../../shared/spec/words";

type PhaseStatus = "waiting" | "running" | "done" | "failed";

export interface Phase {
  name: PhaseName;
  status: PhaseStatus;
  /** Epochs done, of how many; 0 of 0 for a phase without. */
  epoch: number;
  epochs: number;
  /** Steps done in the running epoch. */
  step: number;
  steps: number;
  /** Seconds of each finished epoch. */
  epochSeconds: number[];
}

interface Candidates {
  dimension: Dimension;
  now: number;
  start: number;
  undecided: number;
}

/** All that a view of one search shows, made from its events alone. */
export interface Progress {
  searchId: string;
  /** "tiny on streets, seed 1". */
  title: string;
  state: "pending" | "running" | "paused" | "succeeded" | "failed" | "cancelled";
  /** Of the first event, ms. */
  startedAt: number | undefined;
  phases: Phase[];
  epoch: EpochMetrics | undefined;
  /** Of the step that was reported last. */
  stepLoss: number | undefined;
  costTarget: number;
  candidates: Candidates[];
  log10Now: number;
  log10Start: number;
  lastRemovals: { epoch: number; removals: Removal[] } | undefined;
  /** Networks that algorithms random and evolution have evaluated, of how many, and the best figure so far. */
  evaluated: { networks: number; of: number; bestMiou: number } | undefined;
  supernetMiou: number | undefined;
  discreteMiou: number | undefined;
  retrainedMiou: number | undefined;
  retrainingLoss: number | undefined;
  decidedBy: DecidedBy;
  result: SearchResult | undefined;
  lastAlarm: { name: string; epoch: number; message: string } | undefined;
  /** Why it failed or was cancelled. */
  reason: string | undefined;
}

export function initialProgress(searchId: string): Progress {
  return {
    searchId,
    title: "",
    state: "pending",
    startedAt: undefined,
    phases: [],
    epoch: undefined,
    stepLoss: undefined,
    costTarget: 0,
    candidates: [],
    log10Now: 0,
    log10Start: 0,
    lastRemovals: undefined,
    evaluated: undefined,
    supernetMiou: undefined,
    discreteMiou: undefined,
    retrainedMiou: undefined,
    retrainingLoss: undefined,
    decidedBy: DecidedBy.DECIDED_BY_UNSPECIFIED,
    result: undefined,
    lastAlarm: undefined,
    reason: undefined,
  };
}

const phase = (name: PhaseName, epochs = 0): Phase => ({
  name,
  status: "waiting",
  epoch: 0,
  epochs,
  step: 0,
  steps: 0,
  epochSeconds: [],
});

function created(progress: Progress, spec: SearchSpec, space: SearchSpace): Progress {
  const retraining = spec.retraining?.epochs ?? 0;
  const kind = enumWord(DatasetKind, "DATASET_KIND_", spec.dataset?.kind ?? 0);
  const title = `${spec.preset} on ${kind}, seed ${spec.seed ?? 0}`;
  if (givenGenotype(spec))
    return {
      ...progress,
      title: `given network, ${title}`,
      state: "running",
      phases: [{ ...phase("retrain", retraining), status: "running" }, phase("profile")],
    };
  const sampling = isSampling(spec);
  const phases = [
    ...(spec.cost?.metric === CostMetric.COST_METRIC_LATENCY ? [phase("operators")] : []),
    // The first candidate's events say for how many epochs each network is trained.
    phase("search", sampling ? 0 : (spec.training?.epochs ?? 0)),
    ...(sampling ? [] : [phase("derive")]),
    ...(retraining > 0 ? [phase("retrain", retraining)] : []),
    phase("profile"),
  ];
  const [first, ...rest] = phases;
  const size = log10Size(space);
  const algorithm = enumWord(AlgorithmKind, "ALGORITHM_KIND_", spec.algorithm?.kind ?? 0);
  return {
    ...progress,
    title: sampling ? `${algorithm}, ${title}` : title,
    state: "running",
    phases: first ? [{ ...first, status: "running" }, ...rest] : [],
    costTarget: spec.cost?.target ?? 0,
    // Nothing leaves a space from which whole networks are drawn.
    candidates: (sampling ? [] : dimensionMetrics(space, initialArchitecture(space))).map(
      ({ dimension, candidates, undecidedGroups }) => ({
        dimension,
        now: candidates,
        start: candidates,
        undecided: undecidedGroups,
      }),
    ),
    log10Now: size,
    log10Start: size,
  };
}

function change(progress: Progress, name: PhaseName, update: (phase: Phase) => Partial<Phase>): Progress {
  return { ...progress, phases: progress.phases.map((one) => (one.name === name ? { ...one, ...update(one) } : one)) };
}

/** Ends a phase and begins the one after it. */
function finish(progress: Progress, name: PhaseName): Progress {
  const at = progress.phases.findIndex((one) => one.name === name);
  return {
    ...progress,
    phases: progress.phases.map((one, index) => {
      if (index <= at) return { ...one, status: "done", step: 0, steps: 0 };
      return index === at + 1 ? { ...one, status: "running" } : one;
    }),
  };
}

function withCandidates(progress: Progress, dimensions: DimensionMetrics[]): Progress {
  return {
    ...progress,
    candidates: progress.candidates.map((one) => {
      const now = dimensions.find(({ dimension }) => dimension === one.dimension);
      return now ? { ...one, now: now.candidates, undecided: now.undecidedGroups } : one;
    }),
  };
}

/** Candidates counted from the survivors of the live groups. */
function withSurvivors(progress: Progress, { groups }: Architecture): Progress {
  return {
    ...progress,
    candidates: progress.candidates.map((one) => {
      const live = groups.filter(({ dimension }) => dimension === one.dimension);
      return {
        ...one,
        now: live.reduce((sum, { survivors }) => sum + survivors.length, 0),
        undecided: live.filter(({ survivors }) => survivors.length > 1).length,
      };
    }),
  };
}

/** The progress after one more event; pure, and the same whether events come live or as history. */
export function observe(before: Progress, { event, time }: WatchSearchResponse): Progress {
  const progress = { ...before, startedAt: before.startedAt ?? time?.getTime() };
  switch (event?.$case) {
    case undefined:
      return progress;
    case "searchCreated": {
      const { spec, space } = event.value;
      return spec && space ? created(progress, spec, space) : progress;
    }
    case "operatorsProfiled":
      return finish(progress, "operators");
    case "trainingProgressed": {
      const { phase: work, step, steps, epoch, epochs, loss } = event.value;
      const name = phaseOfProgress(work);
      if (!name) return progress;
      // An epoch that is over has been reported by its event; this report may come after it.
      const moved = change(progress, name, (one) =>
        epoch > one.epoch ? { step, steps, ...(epochs > 0 && { epochs }) } : {},
      );
      return { ...moved, stepLoss: loss };
    }
    case "epochCompleted": {
      const { metrics } = event.value;
      if (!metrics) return progress;
      const { epoch, epochs, seconds } = metrics;
      const moved = change(progress, "search", (one) => ({
        epoch,
        epochs: epochs || one.epochs,
        step: 0,
        epochSeconds: [...one.epochSeconds, seconds],
      }));
      return withCandidates(
        { ...moved, epoch: metrics, log10Now: metrics.log10Space || moved.log10Now },
        metrics.dimensions,
      );
    }
    case "spaceShrunk": {
      const { epoch, removals, log10Space, architecture } = event.value;
      const shrunk = architecture ? withSurvivors(progress, architecture) : progress;
      return { ...shrunk, log10Now: log10Space, lastRemovals: { epoch, removals } };
    }
    case "supernetConverged":
      return {
        ...finish(progress, "search"),
        decidedBy: event.value.decidedBy,
        supernetMiou: event.value.validationMiou,
      };
    case "samplingEpochCompleted": {
      const { epoch, epochs, seconds, loss } = event.value;
      const moved = change(progress, "search", (one) => ({
        epoch,
        epochs,
        step: 0,
        epochSeconds: [...one.epochSeconds, seconds],
      }));
      return { ...moved, stepLoss: loss };
    }
    case "candidateEvaluated": {
      const { index, candidates, validationMiou } = event.value;
      const bestMiou = Math.max(progress.evaluated?.bestMiou ?? 0, validationMiou);
      return { ...progress, evaluated: { networks: index, of: candidates, bestMiou } };
    }
    case "architectureDerived":
      return {
        ...finish(progress, event.value.selection ? "search" : "derive"),
        supernetMiou: event.value.selection ? undefined : event.value.supernetMiou,
        discreteMiou: event.value.discreteMiou,
        decidedBy: event.value.decidedBy,
      };
    case "retrainingEpochCompleted": {
      const { epoch, epochs, seconds, bestMiou, loss } = event.value;
      const moved = change(progress, "retrain", (one) => ({
        epoch,
        epochs: epochs || one.epochs,
        step: 0,
        epochSeconds: [...one.epochSeconds, seconds],
      }));
      return { ...moved, retrainedMiou: bestMiou, retrainingLoss: loss };
    }
    case "networkTrained":
      return { ...finish(progress, "retrain"), retrainedMiou: event.value.validationMiou };
    case "networkProfiled":
      return finish(progress, "profile");
    case "healthAlarmRaised": {
      const { kind, epoch, policy, message } = event.value;
      const pauses = policy === HealthPolicy.HEALTH_POLICY_PAUSE;
      return {
        ...progress,
        lastAlarm: { name: alarmReason(kind), epoch, message },
        ...(pauses && { state: "paused" }),
      };
    }
    case "searchPaused":
      return { ...progress, state: "paused" };
    case "searchResumed":
      return { ...progress, state: "running" };
    case "workFailed":
      return { ...progress, reason: event.value.message };
    case "searchSucceeded":
      return { ...finishAll(progress), state: "succeeded", result: event.value.result };
    case "searchFailed":
      return { ...failRunning(progress), state: "failed", reason: event.value.message || event.value.reason };
    case "searchCancelled":
      return { ...failRunning(progress), state: "cancelled", reason: event.value.reason };
    case "spaceKept":
      return progress;
  }
}

const finishAll = (progress: Progress): Progress => ({
  ...progress,
  phases: progress.phases.map((one) => ({ ...one, status: "done" })),
});

const failRunning = (progress: Progress): Progress => ({
  ...progress,
  phases: progress.phases.map((one) => (one.status === "running" ? { ...one, status: "failed" } : one)),
});

const recentEpochs = 3;

/** Seconds until a phase ends, from its newest measured epochs (they get shorter as the space shrinks); undefined before the first. */
export function secondsLeft({ epoch, epochs, step, steps, epochSeconds }: Phase): number | undefined {
  const recent = epochSeconds.slice(-recentEpochs);
  if (recent.length === 0) return undefined;
  const perEpoch = recent.reduce((sum, one) => sum + one, 0) / recent.length;
  const begun = steps > 0 ? step / steps : 0;
  return Math.max(0, epochs - epoch - begun) * perEpoch;
}
