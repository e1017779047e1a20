import {
  eventLane,
  eventOrdinal,
  type EventData,
  type EventName,
  type LatheEvent,
  type StoredEvent,
} from "../../shared/events/catalog";
import type { ArchitectureChosen, ArchitectureRepaired } from "../../shared/proto/lathe/v1/events";
import { DecidedBy, Provenance, type LatencyFigures, type SearchResult } from "../../shared/proto/lathe/v1/result";
import { ConditionStatus, SearchPhase, SearchState, type Search } from "../../shared/proto/lathe/v1/search";
import { HealthPolicy } from "../../shared/proto/lathe/v1/spec";
import { candidatesLeft } from "../../shared/space/groups";
import { trainedApart } from "../../shared/spec/algorithm";
import { alarmReason } from "../../shared/spec/health";
import {
  alarmCondition,
  artifacts,
  begun,
  condition,
  costMiss,
  dataRead,
  keptResult,
  otherData,
  points,
  profiled,
  reached,
  recovered,
  result,
  tableChecked,
  revived,
  trainedAt,
} from "./changes";
import { isEnded, isFinal, newRecord, type Ordinals, type SearchRecord } from "./record";
import { earlierNetwork, nearestOf } from "./nearest";
import {
  finallyMeasured,
  isSettled,
  predicted,
  refusedTarget,
  shareOf,
  targetFigures,
  targetOf,
  withChoice,
  withMeasurement,
  withRepair,
} from "./target";

/** The changes that one event makes; absent fields stay as they were. */
interface Change {
  search?: Partial<Search>;
  rest?: Partial<Omit<SearchRecord, "search">>;
}

type Rule<N extends EventName> = (record: SearchRecord, data: EventData<N>, time: Date) => Change;

const { CONDITION_STATUS_TRUE: TRUE, CONDITION_STATUS_FALSE: FALSE } = ConditionStatus;

const RULES: { [N in EventName]: Rule<N> } = {
  "search.created": () => ({}),
  "search.branched": ({ search }, { branch }) => ({
    search: branch ? result(search, { branches: [...(search.result?.branches ?? []), branch] }) : {},
  }),
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
  "device.availability.changed": ({ search }, { available, message }, time) => ({
    search: available
      ? condition(search, "Device", TRUE, "DEVICE_SERVED", message, time)
      : condition(search, "Device", FALSE, "DEVICE_NOT_SERVED", message, time),
  }),
  "network.kept": ({ search: before, costTable }, data, time) => {
    const search = { ...before, ...otherData(before, data.dataChange, time) };
    return data.genotype
      ? {
          search: {
            ...condition(search, "Kept", TRUE, "KEPT", data.message, time),
            ...result(search, keptResult(data, shareOf(search, costTable))),
            ...artifacts(search, data.onnx, data.weights, data.deploy),
          },
        }
      : { search: condition(search, "Kept", FALSE, data.reason, data.message, time) };
  },
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
  "operators.profiled": ({ search }, data, time) => {
    const { table } = data;
    const known = { ...search, ...targetFigures(search, data) };
    return {
      search: {
        ...begun(search),
        // A target that the space or the table refuses fails the search where it is.
        ...(refusedTarget(known, table) ? {} : reached(search, SearchPhase.SEARCH_PHASE_SEARCHING)),
        ...tableChecked(search, table?.check, time),
        ...result(known, { costTarget: shareOf(search, table) }),
      },
      rest: { costTable: table },
    };
  },
  "epoch.completed": ({ search }, { metrics, dataset }, time) => ({
    search: {
      ...begun(search),
      ...reached(search, SearchPhase.SEARCH_PHASE_SEARCHING),
      lastEpoch: metrics ?? search.lastEpoch,
      // A resumed training runs in another process.
      ...result(
        { ...search, ...dataRead(search, dataset) },
        { peakMemoryBytes: Math.max(search.result?.peakMemoryBytes ?? 0, metrics?.peakMemoryBytes ?? 0) },
      ),
      ...recovered(search, metrics?.health, time),
    },
  }),
  // The alarm itself pauses or fails the search: no other event may come between an alarm and its effect.
  "health.alarm.raised": ({ search }, { kind, policy, message }, time) => ({
    search: {
      ...begun(search),
      ...alarmCondition(search, kind, message, time),
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
  "sampling.epoch.completed": ({ search }, { seconds, dataset }) => ({
    search: {
      ...begun(search),
      ...reached(search, SearchPhase.SEARCH_PHASE_SEARCHING),
      ...result(
        { ...search, ...dataRead(search, dataset) },
        { searchSeconds: (search.result?.searchSeconds ?? 0) + seconds },
      ),
    },
  }),
  // Several workers may evaluate networks, in any order.
  "candidate.evaluated": ({ search }, { seconds }) => ({
    search: {
      ...begun(search),
      ...result(search, {
        candidatesEvaluated: (search.result?.candidatesEvaluated ?? 0) + 1,
        searchSeconds: (search.result?.searchSeconds ?? 0) + seconds,
      }),
    },
  }),
  "architecture.derived": (record, data, time) => {
    const { search, costTable } = record;
    const retrains = trains(search);
    const { selection } = data;
    const message = selection
      ? `the network is the best of ${selection.candidates}, at ${points(data.discreteMiou)} mIoU points`
      : `the discrete network is at ${points(data.discreteMiou)} mIoU points, the supernet at ${points(data.supernetMiou)}`;
    // A network that was drawn within a cost window meets the target by construction.
    const byLatency = targetOf(search) !== undefined;
    const miss = selection || byLatency ? "" : costMiss(search.spec?.cost, data);
    const told = { ...search, ...otherData(search, data.dataChange, time) };
    const isDerived = { ...told, ...condition(told, "Derived", TRUE, "DERIVED", message, time) };
    const derived = {
      ...isDerived,
      // A latency is compared once it is measured.
      ...(!byLatency &&
        condition(isDerived, "CostTarget", miss ? FALSE : TRUE, miss ? "COST_MISSED" : "COST_MET", miss, time)),
    };
    return {
      search: {
        ...(byLatency ? reached(search, SearchPhase.SEARCH_PHASE_DERIVING) : settled(search)),
        ...(retrains
          ? { conditions: derived.conditions }
          : condition(derived, "Trained", FALSE, "RETRAINING_OFF", "retraining.epochs is 0", time)),
        ...result(
          { ...told, ...predicted(record, data.costRatio) },
          {
            genotype: data.genotype,
            decidedBy: data.decidedBy || search.result?.decidedBy || DecidedBy.DECIDED_BY_UNSPECIFIED,
            supernetMiou: data.supernetMiou,
            discreteMiou: data.discreteMiou,
            discreteMiouClasses: data.miouClasses,
            discretizationGap: data.discretizationGap,
            figures: data.figures,
            costRatio: data.costRatio,
            costTarget: shareOf(search, costTable),
            costMiss: miss,
            ...(selection && {
              candidatesEvaluated: selection.candidates,
              trainingImages: selection.trainingImages,
              searchSeconds: selection.seconds,
              provenance: Provenance.fromPartial({ engine: selection.engine }),
            }),
          },
        ),
        ...artifacts(search, data.onnx, data.weights),
      },
      rest: { derivedOnnx: data.onnx, derivedWeights: data.weights, ...(!retrains && { networkOnnx: data.onnx }) },
    };
  },
  "architecture.measured": (record, data, time) => {
    const measured = withMeasurement(record.search, data, time);
    const search = { ...record.search, ...measured };
    const nearest = nearestOf({ ...record, search });
    const ordinals = { ...record.ordinals, "architecture.measured": data.number };
    // An earlier network that is nearer is published first.
    const isOver = isSettled(search) && !earlierNetwork({ search, nearest, ordinals });
    return { search: { ...measured, ...(isOver && settled(search)) }, rest: { nearest } };
  },
  "architecture.repaired": (record, data) => {
    const { search } = record;
    // Where no network of the space is nearer to the target, the search goes on with the nearest of those that are measured.
    if (data.changes.length === 0) {
      const ordinals = { ...record.ordinals, "architecture.repaired": data.number };
      return { search: earlierNetwork({ ...record, ordinals }) ? {} : settled(search) };
    }
    return {
      search: {
        ...result({ ...search, ...withRepair(record, data) }, networkFigures(data)),
        ...artifacts(search, data.onnx, data.weights),
      },
      rest: networkFiles(search, data),
    };
  },
  "architecture.chosen": ({ search }, data, time) => {
    const judged = withChoice(search, data, time);
    return {
      search: { ...settled(search), ...judged, ...result({ ...search, ...judged }, networkFigures(data)) },
      rest: networkFiles(search, data),
    };
  },
  "retraining.epoch.completed": ({ search }, { epoch, dataset }) => ({
    search: { ...begun(search), retrainingEpoch: epoch, ...dataRead(search, dataset) },
  }),
  "network.trained": ({ search }, data, time) => ({
    search: {
      ...begun(search),
      ...reached(search, SearchPhase.SEARCH_PHASE_PROFILING_NETWORK),
      ...condition(search, "Trained", TRUE, "TRAINED", trainedAt(data), time),
      ...result(search, {
        retrainedMiou: data.validationMiou,
        retrainedMiouClasses: data.classScores.filter(({ occurs }) => occurs).length,
        retrainedBestEpoch: data.bestEpoch,
        figures: data.figures,
        retrainingSeconds: data.seconds,
        classScores: data.classScores,
        // A given network has no other training.
        provenance: search.result?.provenance ?? Provenance.fromPartial({ engine: data.engine }),
      }),
      ...artifacts(search, data.onnx, data.weights, data.deploy, ...data.predictions, data.confusion),
    },
    rest: { networkOnnx: data.onnx },
  }),
  "network.profiled": ({ search }, { latency }, time) => ({
    search: { ...reached(search, SearchPhase.SEARCH_PHASE_DONE), ...finallyProfiled(search, latency, time) },
  }),
  "work.failed": ({ search }, { phase, reason, message, resumption }) =>
    resumption < search.resumptions ? {} : { rest: { failure: { phase, reason, message, resumption } } },
};

const trains = ({ spec }: Search): boolean => (spec?.retraining?.epochs ?? 0) > 0;

type Changed = ArchitectureRepaired | ArchitectureChosen;

/** The figures of the network that takes the place of the derived one. */
const networkFigures = ({
  genotype,
  figures,
  costRatio,
  discreteMiou,
  miouClasses,
}: Changed): Partial<SearchResult> => ({
  ...{ genotype, figures, costRatio, discreteMiou },
  discreteMiouClasses: miouClasses,
});

/** Its files. */
const networkFiles = (search: Search, { onnx, weights }: Changed): Partial<SearchRecord> => ({
  ...{ derivedOnnx: onnx, derivedWeights: weights },
  ...(!trains(search) && { networkOnnx: onnx }),
});

/** The phase of a search whose network is no longer changed. */
function settled(search: Search): Pick<Search, "phase"> {
  const { SEARCH_PHASE_RETRAINING, SEARCH_PHASE_PROFILING_NETWORK } = SearchPhase;
  return reached(search, trains(search) ? SEARCH_PHASE_RETRAINING : SEARCH_PHASE_PROFILING_NETWORK);
}

function finallyProfiled(search: Search, latency: LatencyFigures | undefined, time: Date): Partial<Search> {
  const known = { ...search, ...profiled(search, latency, time), ...result(search, { latency }) };
  const { conditions, result: found } = { ...known, ...finallyMeasured(known, latency, time) };
  return { conditions, ...(found && { result: found }) };
}

/** Events that also change a search that has ended for good. A search that has branched off is there, whatever became of its origin. */
const EVEN_AFTER_END: ReadonlySet<EventName> = new Set(["network.kept", "search.branched"]);

/** Events that change nothing in a search that has failed. What its workers still finish counts, should the search be resumed. */
const MOOT_AFTER_FAILURE: ReadonlySet<EventName> = new Set([
  "search.paused",
  "search.cancelled",
  "search.failed",
  "health.alarm.raised",
  "device.availability.changed",
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
  const isMootAtEnd = isFinal(record.search) && !EVEN_AFTER_END.has(event.type);
  const moot = isMootAtEnd || (isEnded(record.search) && MOOT_AFTER_FAILURE.has(event.type));
  if (moot || isKnown(record, event)) return { ...record, search: { ...record.search, lastSequence: sequence } };
  const rule = RULES[event.type] as Rule<EventName>;
  const { search, rest } = rule(record, event.data, time);
  return {
    ...record,
    ...rest,
    ordinals: { ...record.ordinals, [keyOf(record, event)]: eventOrdinal(event) ?? 0 },
    search: { ...record.search, ...search, updatedAt: time, lastSequence: sequence },
  };
}

/** Name of an event, and its lane where workers publish several lanes at once. */
function keyOf({ search: { spec } }: SearchRecord, event: LatheEvent): keyof Ordinals {
  const lane = spec && trainedApart(spec) > 0 ? eventLane(event) : undefined;
  return lane === undefined ? event.type : `${event.type}/${lane}`;
}

/** Whether the fact is taken in. Events of one name and lane are stored in the order of their numbers; only pauses, which have none, repeat. */
function isKnown(record: SearchRecord, event: LatheEvent): boolean {
  const newest = record.ordinals[keyOf(record, event)];
  return newest !== undefined && event.type !== "search.paused" && (eventOrdinal(event) ?? 0) <= newest;
}

/** The record after several events, in their order. */
export function projectAll(record: SearchRecord | undefined, events: readonly StoredEvent[]): SearchRecord | undefined {
  return events.reduce<SearchRecord | undefined>((state, stored) => project(state, stored), record);
}
