import {
  eventOrdinal,
  type EventData,
  type EventName,
  type LatheEvent,
  type StoredEvent,
} from "../../shared/events/catalog";
import type { ArchitectureDerived, NetworkKept, NetworkTrained } from "../../shared/proto/lathe/v1/events";
import {
  DecidedBy,
  HealthAlarmKind,
  Provenance,
  SearchResult,
  type ArtifactRef,
  type EpochHealth,
  type LatencyFigures,
} from "../../shared/proto/lathe/v1/result";
import { ConditionStatus, SearchPhase, SearchState, type Search } from "../../shared/proto/lathe/v1/search";
import { HealthPolicy, type CostSpec } from "../../shared/proto/lathe/v1/spec";
import { candidatesLeft } from "../../shared/space/groups";
import { alarmReason } from "../../shared/spec/health";
import { isEnded, isFinal, newRecord, type SearchRecord } from "./record";

/** The changes that one event makes; absent fields stay as they were. */
interface Change {
  search?: Partial<Search>;
  rest?: Partial<Omit<SearchRecord, "search">>;
}

type Rule<N extends EventName> = (record: SearchRecord, data: EventData<N>, time: Date) => Change;

const { CONDITION_STATUS_TRUE: TRUE, CONDITION_STATUS_FALSE: FALSE } = ConditionStatus;

const RULES: { [N in EventName]: Rule<N> } = {
  "search.created": () => ({}),
  "search.paused": ({ search }, { reason, message = "" }, time) => ({
    search: {
      state: SearchState.SEARCH_STATE_PAUSED,
      ...(reason && condition(search, "Paused", TRUE, reason, message, time)),
    },
  }),
  "search.resumed": ({ search }, { resumption }, time) => ({
    search: { state: SearchState.SEARCH_STATE_RUNNING, resumptions: resumption, ...revived(search, time) },
  }),
  "search.cancelled": () => ({ search: { state: SearchState.SEARCH_STATE_CANCELLED } }),
  "network.kept": ({ search }, data, time) =>
    data.genotype
      ? {
          search: {
            ...condition(search, "Kept", TRUE, "KEPT", data.message, time),
            ...result(search, keptResult(search, data)),
            ...artifacts(search, data.onnx, data.weights),
          },
        }
      : { search: condition(search, "Kept", FALSE, data.reason, data.message, time) },
  "search.failed": ({ search }, { reason, message, resumption }, time) => {
    if (resumption < search.resumptions) return {};
    const because = condition(search, "Failed", TRUE, reason, message, time);
    return { search: { state: SearchState.SEARCH_STATE_FAILED, ...because }, rest: { failure: undefined } };
  },
  "search.succeeded": ({ search }, { result }) => ({
    search: {
      state: SearchState.SEARCH_STATE_SUCCEEDED,
      phase: SearchPhase.SEARCH_PHASE_DONE,
      result: result ?? search.result,
    },
  }),
  "operators.profiled": ({ search }, { table }) => ({
    search: { ...begun(search), ...reached(search, SearchPhase.SEARCH_PHASE_SEARCHING) },
    rest: { costTable: table },
  }),
  "epoch.completed": ({ search }, { metrics }, time) => ({
    search: {
      ...begun(search),
      ...reached(search, SearchPhase.SEARCH_PHASE_SEARCHING),
      lastEpoch: metrics ?? search.lastEpoch,
      // A resumed training runs in another process.
      ...result(search, {
        peakMemoryBytes: Math.max(search.result?.peakMemoryBytes ?? 0, metrics?.peakMemoryBytes ?? 0),
      }),
      ...recovered(search, metrics?.health, time),
    },
  }),
  // The alarm itself pauses or fails the search: no other event may come between an alarm and its effect.
  "health.alarm.raised": ({ search }, { kind, policy, message }, time) => ({
    search: {
      ...begun(search),
      // A search on a plateau is still healthy.
      ...(kind !== HealthAlarmKind.HEALTH_ALARM_KIND_PLATEAU &&
        condition(search, "Healthy", FALSE, alarmReason(kind), message, time)),
      ...(policy === HealthPolicy.HEALTH_POLICY_PAUSE && { state: SearchState.SEARCH_STATE_PAUSED }),
    },
    ...(policy === HealthPolicy.HEALTH_POLICY_FAIL && {
      rest: { failure: { phase: "train", reason: alarmReason(kind), message, resumption: search.resumptions } },
    }),
  }),
  "space.shrunk": ({ search }, data) => ({
    search: { candidatesLeft: data.candidatesLeft, ...result(search, { candidatesLeft: data.candidatesLeft }) },
  }),
  "space.kept": () => ({}),
  "supernet.converged": ({ search }, data, time) => {
    const left = data.architecture ? candidatesLeft(data.architecture) : search.candidatesLeft;
    const byShrinking = data.decidedBy === DecidedBy.DECIDED_BY_SHRINKING;
    const message = byShrinking
      ? `every group was decided by shrinking after epoch ${data.convergedEpoch} of ${data.epochs}`
      : data.stoppedEarly
        ? `an alarm ended the training after epoch ${data.epochs} with groups undecided; argmax decided them`
        : `the budget of ${data.epochs} epochs ended with groups undecided; argmax decided them`;
    return {
      search: {
        ...begun(search),
        ...reached(search, SearchPhase.SEARCH_PHASE_DERIVING),
        candidatesLeft: left,
        ...(byShrinking
          ? condition(search, "Converged", TRUE, "DECIDED_BY_SHRINKING", message, time)
          : condition(search, "Converged", FALSE, "DECIDED_BY_ARGMAX", message, time)),
        ...result(search, {
          decidedBy: data.decidedBy,
          convergedEpoch: data.convergedEpoch,
          supernetMiou: data.validationMiou,
          candidatesLeft: left,
          searchSeconds: data.seconds,
          trainingImages: data.trainingImages,
          stoppedEarly: data.stoppedEarly,
          provenance: Provenance.fromPartial({ engine: data.engine }),
        }),
        ...artifacts(search, data.checkpoint),
      },
    };
  },
  "sampling.epoch.completed": ({ search }, { seconds }) => ({
    search: {
      ...begun(search),
      ...reached(search, SearchPhase.SEARCH_PHASE_SEARCHING),
      ...result(search, { searchSeconds: (search.result?.searchSeconds ?? 0) + seconds }),
    },
  }),
  "candidate.evaluated": ({ search }, { index, seconds }) => ({
    search: {
      ...begun(search),
      ...result(search, { candidatesEvaluated: index, searchSeconds: (search.result?.searchSeconds ?? 0) + seconds }),
    },
  }),
  "architecture.derived": ({ search }, data, time) => {
    const retrains = (search.spec?.retraining?.epochs ?? 0) > 0;
    const { selection } = data;
    const message = selection
      ? `the network is the best of ${selection.candidates}, at ${points(data.discreteMiou)} mIoU points`
      : `the discrete network is at ${points(data.discreteMiou)} mIoU points, the supernet at ${points(data.supernetMiou)}`;
    // A network that was drawn within a cost window meets the target by construction.
    const miss = selection ? "" : costMiss(search.spec?.cost, data);
    const isDerived = { ...search, ...condition(search, "Derived", TRUE, "DERIVED", message, time) };
    const derived = {
      ...isDerived,
      ...condition(isDerived, "CostTarget", miss ? FALSE : TRUE, miss ? "COST_MISSED" : "COST_MET", miss, time),
    };
    return {
      search: {
        ...reached(search, retrains ? SearchPhase.SEARCH_PHASE_RETRAINING : SearchPhase.SEARCH_PHASE_PROFILING_NETWORK),
        ...(retrains
          ? { conditions: derived.conditions }
          : condition(derived, "Trained", FALSE, "RETRAINING_OFF", "retraining.epochs is 0", time)),
        ...result(search, {
          genotype: data.genotype,
          decidedBy: data.decidedBy || search.result?.decidedBy || DecidedBy.DECIDED_BY_UNSPECIFIED,
          supernetMiou: data.supernetMiou,
          discreteMiou: data.discreteMiou,
          discretizationGap: data.discretizationGap,
          figures: data.figures,
          costRatio: data.costRatio,
          costTarget: search.spec?.cost?.target ?? 0,
          costMiss: miss,
          ...(selection && {
            candidatesEvaluated: selection.candidates,
            trainingImages: selection.trainingImages,
            searchSeconds: selection.seconds,
            provenance: Provenance.fromPartial({ engine: selection.engine }),
          }),
        }),
        ...artifacts(search, data.onnx, data.weights),
      },
      rest: { derivedOnnx: data.onnx, derivedWeights: data.weights, ...(!retrains && { networkOnnx: data.onnx }) },
    };
  },
  "retraining.epoch.completed": ({ search }, { epoch }) => ({ search: { ...begun(search), retrainingEpoch: epoch } }),
  "network.trained": ({ search }, data, time) => ({
    search: {
      ...begun(search),
      ...reached(search, SearchPhase.SEARCH_PHASE_PROFILING_NETWORK),
      ...condition(search, "Trained", TRUE, "TRAINED", trainedAt(data), time),
      ...result(search, {
        retrainedMiou: data.validationMiou,
        retrainedBestEpoch: data.bestEpoch,
        figures: data.figures,
        retrainingSeconds: data.seconds,
        classScores: data.classScores,
        // A given network has no other training.
        provenance: search.result?.provenance ?? Provenance.fromPartial({ engine: data.engine }),
      }),
      ...artifacts(search, data.onnx, data.weights, ...data.predictions),
    },
    rest: { networkOnnx: data.onnx },
  }),
  "network.profiled": ({ search }, { latency }, time) => ({
    search: {
      ...reached(search, SearchPhase.SEARCH_PHASE_DONE),
      ...condition(search, "Profiled", TRUE, "PROFILED", measuredAs(latency), time),
      ...result(search, { latency }),
    },
  }),
  "work.failed": ({ search }, { phase, reason, message, resumption }) =>
    resumption < search.resumptions ? {} : { rest: { failure: { phase, reason, message, resumption } } },
};

/** Events that change nothing in a search that has failed. What its workers still finish counts, should the search be resumed. */
const MOOT_AFTER_FAILURE: ReadonlySet<EventName> = new Set([
  "search.paused",
  "search.cancelled",
  "search.failed",
  "health.alarm.raised",
  "work.failed",
]);

/**
 * The record after an event. An event that the record has taken in already (by its sequence) returns the same record. A fact that is
 * stored a second time, and an event after a final end of the search other than network.kept, change the sequence only. Undefined where there is no record and the
 * event does not begin one.
 */
export function project(record: SearchRecord | undefined, stored: StoredEvent): SearchRecord | undefined {
  const { sequence, time, searchId, event } = stored;
  if (record === undefined) {
    if (event.type !== "search.created") return undefined;
    const first = newRecord(searchId, event.data, time);
    return { ...first, ordinals: { [event.type]: 0 }, search: { ...first.search, lastSequence: sequence } };
  }
  if (sequence <= record.search.lastSequence) return record;
  const isMootAtEnd = isFinal(record.search) && event.type !== "network.kept";
  const moot = isMootAtEnd || (isEnded(record.search) && MOOT_AFTER_FAILURE.has(event.type));
  if (moot || isKnown(record, event)) return { ...record, search: { ...record.search, lastSequence: sequence } };
  const rule = RULES[event.type] as Rule<EventName>;
  const { search, rest } = rule(record, event.data, time);
  return {
    ...record,
    ...rest,
    ordinals: { ...record.ordinals, [event.type]: eventOrdinal(event) ?? 0 },
    search: { ...record.search, ...search, updatedAt: time, lastSequence: sequence },
  };
}

/** Whether the fact is taken in. Events of one name are stored in the order of their numbers; only pauses, which have none, repeat. */
function isKnown({ ordinals }: SearchRecord, event: LatheEvent): boolean {
  const newest = ordinals[event.type];
  return newest !== undefined && event.type !== "search.paused" && (eventOrdinal(event) ?? 0) <= newest;
}

/** The record after several events, in their order. */
export function projectAll(record: SearchRecord | undefined, events: readonly StoredEvent[]): SearchRecord | undefined {
  return events.reduce<SearchRecord | undefined>((state, stored) => project(state, stored), record);
}

/** The state after a sign of life of a worker. */
export function begun({ state }: Search): { state: SearchState } {
  return { state: state === SearchState.SEARCH_STATE_PENDING ? SearchState.SEARCH_STATE_RUNNING : state };
}

/** The later of two phases: a late event does not set a search back. */
function reached({ phase }: Search, next: SearchPhase): { phase: SearchPhase } {
  return { phase: Math.max(phase, next) };
}

/** The conditions Failed and Paused of a search become false when it is resumed, and keep the cause in their message. */
function revived({ conditions: known }: Search, time: Date): Pick<Search, "conditions"> {
  const standing = known.filter(({ type, status }) => ["Failed", "Paused"].includes(type) && status === TRUE);
  return standing.reduce<Pick<Search, "conditions">>(
    (search, { type, reason, message }) =>
      condition(search, type, FALSE, "RESUMED", `resumed after ${reason}: ${message}`, time),
    { conditions: known },
  );
}

/** The condition Healthy becomes true after an epoch in which no alarm but that of a plateau holds. */
function recovered(search: Search, health: EpochHealth | undefined, time: Date): Partial<Search> {
  const ill = health?.standing.some((kind) => kind !== HealthAlarmKind.HEALTH_ALARM_KIND_PLATEAU) ?? true;
  const known = search.conditions.find(({ type }) => type === "Healthy");
  if (ill || known?.status === TRUE) return {};
  return condition(search, "Healthy", TRUE, "NO_ALARM", "no condition of an alarm holds", time);
}

function condition(
  { conditions }: Pick<Search, "conditions">,
  type: string,
  status: ConditionStatus,
  reason: string,
  message: string,
  changedAt: Date,
): Pick<Search, "conditions"> {
  const others = conditions.filter((entry) => entry.type !== type);
  return { conditions: [...others, { type, status, reason, message, changedAt }] };
}

function result({ result: known }: Search, found: Partial<SearchResult>): { result: SearchResult } {
  return { result: { ...(known ?? SearchResult.fromPartial({})), ...found } };
}

function artifacts({ artifacts: known }: Search, ...added: (ArtifactRef | undefined)[]): Pick<Search, "artifacts"> {
  const names = new Set(known.map(({ object }) => object));
  return { artifacts: [...known, ...added.filter((ref): ref is ArtifactRef => !!ref && !names.has(ref.object))] };
}

/** The results of a kept network. A network of retraining adds to those of the derived one. */
function keptResult({ spec }: Search, kept: NetworkKept): Partial<SearchResult> {
  const { phase, epoch, genotype, decidedBy, validationMiou, supernetMiou, figures, costRatio } = kept;
  if (phase === "retrain") return { figures, retrainedMiou: validationMiou, retrainedBestEpoch: epoch };
  return {
    genotype,
    decidedBy,
    supernetMiou,
    discreteMiou: validationMiou,
    discretizationGap: supernetMiou === 0 ? 0 : supernetMiou - validationMiou,
    figures,
    costRatio,
    costTarget: spec?.cost?.target ?? 0,
  };
}

/** Relative distance from the cost target within which a derived network meets it. */
const COST_TOLERANCE = 0.1;

/** A sentence that says why a derived network misses the cost target; "" where it meets the target or none is set. */
function costMiss(
  cost: CostSpec | undefined,
  { costRatio, smallestCostRatio }: Pick<ArchitectureDerived, "costRatio" | "smallestCostRatio">,
): string {
  const { target, weight } = { target: cost?.target ?? 0, weight: cost?.weight ?? 0 };
  if (target === 0 || weight === 0 || Math.abs(costRatio - target) <= COST_TOLERANCE * target + 1e-9) return "";
  const percent = (ratio: number) => `${(100 * ratio).toFixed(1)} %`;
  const missed = `the network costs ${percent(costRatio)} of the largest, the target is ${percent(target)}`;
  return smallestCostRatio > target
    ? `${missed}: the smallest network of the space costs ${percent(smallestCostRatio)}; give space smaller widths or depths`
    : `${missed}, which the space can reach (from ${percent(smallestCostRatio)} on): raise cost.weight or set cost.adapt`;
}

const trainedAt = ({ validationMiou, bestEpoch }: NetworkTrained) =>
  `${points(validationMiou)} mIoU points at epoch ${bestEpoch}, the best`;

const measuredAs = (latency: LatencyFigures | undefined) =>
  `p50 ${((latency?.p50Seconds ?? 0) * 1000).toFixed(2)} ms on ${latency?.device ?? "?"}`;

/** 0.4567 as "45.7". */
const points = (miou: number) => (100 * miou).toFixed(1);
