import type { Gauge } from "prom-client";
import type { LatheEvent, StoredEvent } from "../../shared/events/catalog";
import type { Metrics } from "../../shared/process/metrics";
import { HealthAlarmKind } from "../../shared/proto/lathe/v1/result";
import { SearchPhase, SearchState, type Search } from "../../shared/proto/lathe/v1/search";
import { Dimension } from "../../shared/proto/lathe/v1/space";
import { valuesOf, enumWord } from "../../shared/spec/bounds";
import { trainedApart } from "../../shared/spec/algorithm";
import { alarmReason } from "../../shared/spec/health";
import { PHASES, TRAININGS, trainingOfWork } from "../../shared/spec/phases";
import { waitsForDevice } from "./devices";
import { ENDS, isEnd, isEnded } from "./record";
import { showWaiting } from "./waitingMetric";

/** "succeeded" for "search.succeeded". */
const outcomeOf = (type: string) => type.slice("search.".length);

const ALL_PHASES = [...Object.values(PHASES).map(({ phase }) => phase), SearchPhase.SEARCH_PHASE_DONE];

const STATES = {
  pending: SearchState.SEARCH_STATE_PENDING,
  running: SearchState.SEARCH_STATE_RUNNING,
  paused: SearchState.SEARCH_STATE_PAUSED,
} as const;

/** Events after which a search whose next phase is a training waits for a trainer. */
const QUEUED: ReadonlySet<string> = new Set([
  ...["search.resumed", "operators.profiled"],
  ...["architecture.derived", "architecture.measured", "architecture.repaired", "architecture.chosen"],
]);
const TRAINS: ReadonlySet<SearchPhase> = new Set([
  SearchPhase.SEARCH_PHASE_SEARCHING,
  SearchPhase.SEARCH_PHASE_RETRAINING,
]);

export interface SearchMetrics {
  /** Sets the gauges of a search from its record, and removes them once it has ended. */
  show(search: Search): void;
  /** Removes the gauges of a search that has ended or was deleted elsewhere. */
  remove(searchId: string): void;
  /** Counts an event once, however often it is delivered to this process. */
  count(stored: StoredEvent): void;
  /** Notes a sign of life of a worker of the search. */
  signOfLife(searchId: string, at: Date): void;
}

/** The metrics of searches (docs/operate.md#metrics); those with a search_id exist only while the search is active. */
export function searchMetrics(metrics: Metrics): SearchMetrics {
  const outcomes = metrics.counter("nas_searches_total", "Searches that have ended, by outcome.", ["outcome"]);
  for (const type of Object.keys(ENDS)) outcomes.inc({ outcome: outcomeOf(type) }, 0);
  const epochSeconds = metrics.histogram(
    "nas_epoch_duration_seconds",
    "Duration of an epoch, in seconds.",
    [1, 2.5, 5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 5120],
    ["phase"],
  );
  for (const { training } of TRAININGS) epochSeconds.zero({ phase: training });
  const alarms = metrics.counter("nas_search_alarms_total", "Health alarms that were raised, by kind.", ["kind"]);
  for (const kind of valuesOf(HealthAlarmKind)) alarms.inc({ kind: alarmReason(kind).toLowerCase() }, 0);
  const notFinite = metrics.counter(
    "nas_train_losses_not_finite_total",
    "Trainings that ran into a loss or gradient norm of NaN or infinity.",
    ["phase"],
  );
  for (const { training } of TRAININGS) notFinite.inc({ phase: training }, 0);
  /** The searches that have not ended, by id, as they were last shown. */
  const active = new Map<string, Search>();
  metrics.gauge("nas_search_active", "Searches that have not ended.", [], (gauge) => gauge.set(active.size));
  showWaiting(metrics, () => active.values());
  const gauge = <L extends string>(name: string, help: string, labels: readonly L[] = []) =>
    metrics.gauge(name, help, ["search_id", ...labels]);
  const phase = gauge("nas_search_phase", "1 for the phase that the search is in, else 0.", ["phase"]);
  const state = gauge("nas_search_state", "1 for the state that the search is in, else 0.", ["state"]);
  const progress = gauge(
    "nas_search_last_progress_timestamp_seconds",
    "Last sign of life of a worker of the search, Unix time; none while the search is paused or waits for a trainer or a latency worker.",
  );
  const done = gauge("nas_search_epochs_done_ratio", "Share of the epochs that are done.", ["phase"]);
  const loss = gauge("nas_train_loss", "Mean loss of the newest epoch.", ["term"]);
  const score = gauge("nas_val_score", "Validation mIoU of the newest evaluated epoch or network, 0 to 1.");
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
  const cost = gauge(
    "nas_search_expected_cost_ratio",
    "Expected cost of the newest epoch, or cost of the newest network, as a share of the largest network's.",
  );
  const target = gauge("nas_search_cost_target_ratio", "Cost aimed at, as a share of the largest network's.");
  const capacity = gauge(
    "nas_search_capacity_ratio",
    "Expected cost from the smallest of the space, 0, to the target, 1.",
  );
  const candidates = gauge("nas_dimension_candidates", "Candidates left over all live groups.", ["dimension"]);
  const size = gauge("nas_search_space_log10_size", "log10 of the number of choices left.");
  const shrunk = gauge(
    "nas_search_last_shrink_timestamp_seconds",
    "When candidates of the dimension last left the space, Unix time.",
    ["dimension"],
  );
  const all: Gauge[] = [
    ...[phase, state, progress, done, loss, score, ssr, entropy, normalised, dominance],
    ...[norm, classShare, cost, target, capacity, candidates, size, shrunk],
  ];

  const setState = (search_id: string, now: SearchState) => {
    for (const [word, each] of Object.entries(STATES)) state.set({ search_id, state: word }, each === now ? 1 : 0);
  };
  const remove = (searchId: string) => {
    if (!active.delete(searchId)) return;
    for (const each of all) removeSeries(each, searchId);
  };
  const counted = new Counted();

  return {
    show(search) {
      const search_id = search.id;
      if (isEnded(search)) return remove(search_id);
      const known = active.has(search_id);
      active.set(search_id, search);
      for (const each of ALL_PHASES)
        phase.set({ search_id, phase: enumWord(SearchPhase, "SEARCH_PHASE_", each) }, each === search.phase ? 1 : 0);
      setState(search_id, search.state);
      const queued = search.phase === SearchPhase.SEARCH_PHASE_RETRAINING && search.retrainingEpoch === 0;
      if (queued || waitsForDevice(search) || search.state !== SearchState.SEARCH_STATE_RUNNING)
        progress.remove({ search_id });
      // Taken over from a process that is gone: its silence begins now.
      else if (!known) this.signOfLife(search_id, new Date());
      target.set({ search_id }, search.result?.costTarget || (search.spec?.cost?.target ?? 0));
      const retraining = search.spec?.retraining?.epochs ?? 0;
      if (retraining > 0) done.set({ search_id, phase: PHASES.retrain.training }, search.retrainingEpoch / retraining);
      const networks = search.spec ? trainedApart(search.spec) : 0;
      const evaluated = search.result?.candidatesEvaluated ?? 0;
      if (networks > 0) done.set({ search_id, phase: PHASES.search.training }, evaluated / networks);
      const { lastEpoch } = search;
      if (!lastEpoch) return size.set({ search_id }, search.result?.log10SpaceStart ?? 0);
      for (const [term, value] of [
        ["weights", lastEpoch.weightLoss],
        ["alphas", lastEpoch.alphaLoss],
        ["cost", lastEpoch.costLoss],
        ["validation", lastEpoch.validationLoss],
      ] as const)
        loss.set({ search_id, term }, value);
      if (lastEpoch.epochs > 0)
        done.set({ search_id, phase: PHASES.search.training }, lastEpoch.epoch / lastEpoch.epochs);
      cost.set({ search_id }, lastEpoch.expectedCostRatio);
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
      if (!counted.add(sequence)) return;
      const search = active.get(searchId);
      // The next network of random waits in the queue, or the choice.
      const apart = search?.spec ? trainedApart(search.spec) : 0;
      const between = apart > 0 && event.type === "candidate.evaluated";
      const queued = search && ((QUEUED.has(event.type) && TRAINS.has(search.phase)) || between);
      if (queued) progress.remove({ search_id: searchId });
      // The event that creates a search is no sign of life: no worker published it.
      else if (search?.state === SearchState.SEARCH_STATE_RUNNING) this.signOfLife(searchId, time);
      if (isEnd(event.type)) outcomes.inc({ outcome: outcomeOf(event.type) });
      const alarm = alarmOf(event);
      if (alarm !== undefined) alarms.inc({ kind: alarmReason(alarm).toLowerCase() });
      const phaseNotFinite = lossNotFinite(event);
      if (phaseNotFinite !== undefined) notFinite.inc({ phase: phaseNotFinite });
      if (event.type === "epoch.completed" && event.data.metrics)
        epochSeconds.observe({ phase: PHASES.search.training }, event.data.metrics.seconds);
      if (event.type === "sampling.epoch.completed") {
        epochSeconds.observe({ phase: PHASES.search.training }, event.data.seconds);
        if (!search) return;
        loss.set({ search_id: searchId, term: "weights" }, event.data.loss);
        // The epochs of several networks alternate, so networks count.
        if (apart === 0)
          done.set({ search_id: searchId, phase: PHASES.search.training }, event.data.epoch / event.data.epochs);
      }
      if (event.type === "candidate.evaluated" && search) {
        score.set({ search_id: searchId }, event.data.validationMiou);
        cost.set({ search_id: searchId }, event.data.costRatio);
      }
      if (event.type === "space.shrunk" && search)
        for (const { dimension } of event.data.removals)
          shrunk.set(
            { search_id: searchId, dimension: enumWord(Dimension, "DIMENSION_", dimension) },
            time.getTime() / 1000,
          );
      if (event.type === "retraining.epoch.completed") {
        epochSeconds.observe({ phase: PHASES.retrain.training }, event.data.seconds);
        if (!search) return;
        loss.set({ search_id: searchId, term: "retraining" }, event.data.loss);
        if (event.data.validationMiou !== undefined) score.set({ search_id: searchId }, event.data.validationMiou);
      }
    },
    signOfLife(searchId, at) {
      const search = active.get(searchId);
      // A trainer that is being stopped still reports its last step. The event that no worker is there is no sign of one.
      if (!search || search.state === SearchState.SEARCH_STATE_PAUSED || waitsForDevice(search)) return;
      progress.set({ search_id: searchId }, at.getTime() / 1000);
      // The record of a pending search changes with its first epoch.
      setState(searchId, SearchState.SEARCH_STATE_RUNNING);
    },
  };
}

/** The alarm that an event raises. A derivation has no alarm of its own: it says in its event that it read other data. */
function alarmOf(event: LatheEvent): HealthAlarmKind | undefined {
  if (event.type === "health.alarm.raised") return event.data.kind;
  const derives = event.type === "architecture.derived" || event.type === "network.kept";
  const isChanged = derives && event.data.dataChange !== "";
  return isChanged ? HealthAlarmKind.HEALTH_ALARM_KIND_DATA_CHANGED : undefined;
}

/** An event that a failure has delayed is still recognised as new while at most this many later events have been counted. */
const REMEMBERED = 10_000;

/** The sequences that have been counted: the newest one by one, and all before them. */
class Counted {
  private readonly newest = new Set<number>();
  private before = 0;

  /** Returns false where the sequence has been counted already. */
  add(sequence: number): boolean {
    if (sequence <= this.before || this.newest.has(sequence)) return false;
    this.newest.add(sequence);
    if (this.newest.size > REMEMBERED) {
      const [oldest = 0] = this.newest;
      this.newest.delete(oldest);
      this.before = Math.max(this.before, oldest);
    }
    return true;
  }
}

/** The training whose loss is not finite. A supernet raises an alarm, unless it is its second; other trainings fail at once. */
function lossNotFinite(event: LatheEvent): string | undefined {
  if (event.type === "health.alarm.raised" && event.data.kind === HealthAlarmKind.HEALTH_ALARM_KIND_LOSS_NOT_FINITE)
    return PHASES.search.training;
  if (event.type !== "work.failed" || event.data.reason !== "LOSS_NOT_FINITE") return undefined;
  return trainingOfWork(event.data.phase) ?? PHASES.search.training;
}

/** prom-client removes one series at a time, by all of its labels. */
function removeSeries(gauge: Gauge, searchId: string): void {
  const { hashMap } = gauge as unknown as { hashMap: Record<string, { labels: Record<string, string> }> };
  for (const { labels } of Object.values(hashMap)) if (labels["search_id"] === searchId) gauge.remove(labels);
}
