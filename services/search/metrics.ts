import type { Gauge } from "prom-client";
import type { StoredEvent } from "../../shared/events/catalog";
import type { Metrics } from "../../shared/process/metrics";
import { HealthAlarmKind } from "../../shared/proto/lathe/v1/result";
import { SearchPhase, type Search } from "../../shared/proto/lathe/v1/search";
import { Dimension } from "../../shared/proto/lathe/v1/space";
import { valuesOf } from "../../shared/spec/bounds";
import { alarmReason } from "../../shared/spec/health";
import { enumWord } from "../../shared/spec/words";
import { isEnded, phaseName } from "./record";

const OUTCOMES = {
  "search.succeeded": "succeeded",
  "search.failed": "failed",
  "search.cancelled": "cancelled",
} as const;

const PHASES = [
  SearchPhase.SEARCH_PHASE_PROFILING_OPERATORS,
  SearchPhase.SEARCH_PHASE_SEARCHING,
  SearchPhase.SEARCH_PHASE_DERIVING,
  SearchPhase.SEARCH_PHASE_RETRAINING,
  SearchPhase.SEARCH_PHASE_PROFILING_NETWORK,
  SearchPhase.SEARCH_PHASE_DONE,
] as const;

export interface SearchMetrics {
  /** Sets the gauges of a search to what its record says, and removes them once it has ended. */
  show(search: Search): void;
  /** Removes the gauges of a search that has ended or was deleted elsewhere. */
  remove(searchId: string): void;
  /** Counts an event, once however often it is delivered here. */
  count(stored: StoredEvent): void;
  /** A worker of the search has been heard of. */
  heard(searchId: string, at: Date): void;
}

/** The metrics of searches (operations.md, section C); those with a search_id exist only while the search is active. */
export function searchMetrics(metrics: Metrics): SearchMetrics {
  const outcomes = metrics.counter("nas_searches_total", "Searches that have ended, by outcome.", ["outcome"]);
  for (const outcome of Object.values(OUTCOMES)) outcomes.inc({ outcome }, 0);
  const epochSeconds = metrics.histogram(
    "nas_epoch_duration_seconds",
    "Duration of an epoch, in seconds.",
    [1, 2.5, 5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 5120],
    ["phase"],
  );
  const alarms = metrics.counter("nas_search_alarms_total", "Health alarms that were raised, by kind.", ["kind"]);
  for (const kind of valuesOf(HealthAlarmKind)) alarms.inc({ kind: alarmReason(kind).toLowerCase() }, 0);
  const active = new Set<string>();
  metrics.gauge("nas_search_active", "Searches that have not ended.", [], (gauge) => gauge.set(active.size));
  const gauge = <L extends string>(name: string, help: string, labels: readonly L[] = []) =>
    metrics.gauge(name, help, ["search_id", ...labels]);
  const phase = gauge("nas_search_phase", "1 for the phase that the search is in, else 0.", ["phase"]);
  const progress = gauge("nas_search_last_progress_timestamp_seconds", "When the search was last heard of, Unix time.");
  const loss = gauge("nas_train_loss", "Mean loss of the newest epoch.", ["term"]);
  const score = gauge("nas_val_score", "Validation mIoU of the newest epoch or network, 0 to 1.");
  const ssr = gauge("nas_search_ssr", "Mean Solution Space Regularization over the groups.", ["dimension"]);
  const entropy = gauge("nas_dimension_entropy_nats", "Mean entropy of the undecided groups, in nats.", ["dimension"]);
  const normalised = gauge(
    "nas_dimension_entropy_ratio",
    "Mean entropy of the undecided groups, as a share of that of no preference.",
    ["dimension"],
  );
  const dominance = gauge(
    "nas_dimension_dominance_ratio",
    "Largest share of one candidate in the choices of the groups, one group that agrees with no other added.",
    ["dimension"],
  );
  const norm = gauge("nas_train_gradient_norm", "Largest gradient norm of the newest epoch's steps, before clipping.", [
    "parameters",
  ]);
  const classShare = gauge(
    "nas_val_class_share_ratio",
    "Largest share of the labelled validation pixels that is predicted as one class.",
  );
  const capacity = gauge(
    "nas_search_capacity_ratio",
    "Expected cost from the smallest of the space, 0, to the target, 1.",
  );
  const candidates = gauge("nas_dimension_candidates", "Candidates left over all live groups.", ["dimension"]);
  const size = gauge("nas_search_space_log10_size", "log10 of the number of choices left.");
  const all: Gauge[] = [
    ...[phase, progress, loss, score, ssr, entropy, normalised, dominance],
    ...[norm, classShare, capacity, candidates, size],
  ];

  const remove = (searchId: string) => {
    if (!active.delete(searchId)) return;
    for (const each of all) removeSeries(each, searchId);
  };
  let counted = 0;

  return {
    show(search) {
      const search_id = search.id;
      if (isEnded(search)) return remove(search_id);
      active.add(search_id);
      for (const each of PHASES)
        phase.set({ search_id, phase: phaseName(each).toLowerCase() }, each === search.phase ? 1 : 0);
      const { lastEpoch } = search;
      if (!lastEpoch) return size.set({ search_id }, search.result?.log10SpaceStart ?? 0);
      for (const [term, value] of [
        ["weights", lastEpoch.weightLoss],
        ["alphas", lastEpoch.alphaLoss],
        ["cost", lastEpoch.costLoss],
        ["validation", lastEpoch.validationLoss],
      ] as const)
        loss.set({ search_id, term }, value);
      if (search.phase === SearchPhase.SEARCH_PHASE_SEARCHING) score.set({ search_id }, lastEpoch.validationMiou);
      size.set({ search_id }, lastEpoch.log10Space);
      for (const each of lastEpoch.dimensions) {
        const dimension = enumWord(Dimension, "DIMENSION_", each.dimension);
        ssr.set({ search_id, dimension }, each.ssr);
        entropy.set({ search_id, dimension }, each.entropy);
        normalised.set({ search_id, dimension }, each.normalisedEntropy);
        dominance.set({ search_id, dimension }, each.dominance);
        candidates.set({ search_id, dimension }, each.candidates);
      }
      const { health } = lastEpoch;
      if (!health) return;
      norm.set({ search_id, parameters: "weights" }, health.weightGradientNorm);
      norm.set({ search_id, parameters: "alphas" }, health.alphaGradientNorm);
      classShare.set({ search_id }, health.classShare);
      capacity.set({ search_id }, health.capacity);
    },
    remove,
    count({ sequence, event, searchId, time }) {
      if (sequence <= counted) return;
      counted = sequence;
      this.heard(searchId, time);
      if (event.type in OUTCOMES) outcomes.inc({ outcome: OUTCOMES[event.type as keyof typeof OUTCOMES] });
      if (event.type === "health.alarm.raised") alarms.inc({ kind: alarmReason(event.data.kind).toLowerCase() });
      if (event.type === "epoch.completed" && event.data.metrics)
        epochSeconds.observe({ phase: "search" }, event.data.metrics.seconds);
      if (event.type === "sampling.epoch.completed") {
        epochSeconds.observe({ phase: "search" }, event.data.seconds);
        if (active.has(searchId)) loss.set({ search_id: searchId, term: "weights" }, event.data.loss);
      }
      if (event.type === "candidate.evaluated" && active.has(searchId))
        score.set({ search_id: searchId }, event.data.validationMiou);
      if (event.type === "retraining.epoch.completed") {
        epochSeconds.observe({ phase: "retraining" }, event.data.seconds);
        if (!active.has(searchId)) return;
        loss.set({ search_id: searchId, term: "retraining" }, event.data.loss);
        score.set({ search_id: searchId }, event.data.validationMiou);
      }
    },
    heard(searchId, at) {
      if (active.has(searchId)) progress.set({ search_id: searchId }, at.getTime() / 1000);
    },
  };
}

/** prom-client removes one series at a time, by all of its labels. */
function removeSeries(gauge: Gauge, searchId: string): void {
  const { hashMap } = gauge as unknown as { hashMap: Record<string, { labels: Record<string, string> }> };
  for (const { labels } of Object.values(hashMap)) if (labels["search_id"] === searchId) gauge.remove(labels);
}
