import type { LatheEvent } from "../../shared/events/catalog";
import type { WorkRequest } from "../../shared/events/publisher";
import type { WorkKind } from "../../shared/events/subjects";
import { LatheError } from "../../shared/process/errors";
import { NetworkKept } from "../../shared/proto/lathe/v1/events";
import type { SearchResult } from "../../shared/proto/lathe/v1/result";
import { SearchPhase, SearchState } from "../../shared/proto/lathe/v1/search";
import { CostMetric, type CostTable } from "../../shared/proto/lathe/v1/space";
import { macsTable } from "../../shared/space/cost";
import type { SearchSpec } from "../../shared/proto/lathe/v1/spec";
import { givenGenotype, trainedApart } from "../../shared/spec/algorithm";
import { withShare } from "../../shared/spec/target";
import { nextBranch, type NewBranch } from "./branches";
import { earlierNetwork } from "./nearest";
import { isEnded, type SearchRecord } from "./record";
import { newestSeconds, refusedTarget } from "./target";

/** Machine and program of the search service, for the provenance of results. */
export interface Host {
  latheVersion: string;
  nodeVersion: string;
  platform: string;
  cpu: string;
}

type AnyWork = { [K in WorkKind]: WorkRequest<K> }[WorkKind];

/** The next command of a search. A record with this id in `issued` has carried it out. */
export type Command = { id: string } & (
  | { do: "work"; work: AnyWork }
  | { do: "works"; works: AnyWork[] }
  | { do: "publish"; event: LatheEvent }
  | { do: "branch"; branch: NewBranch }
);

type Step = (record: SearchRecord, host: Host) => Command | undefined;

/** The command that begins each phase. */
const STEPS = new Map<SearchPhase, Step>([
  [SearchPhase.SEARCH_PHASE_PROFILING_OPERATORS, (record) => profile(record, "operators")],
  [SearchPhase.SEARCH_PHASE_SEARCHING, train],
  [SearchPhase.SEARCH_PHASE_DERIVING, settle],
  [SearchPhase.SEARCH_PHASE_RETRAINING, retrain],
  [SearchPhase.SEARCH_PHASE_PROFILING_NETWORK, (record) => profile(record, "network")],
  [SearchPhase.SEARCH_PHASE_DONE, succeed],
]);

/**
 * The command that a record asks for, whether or not it has been carried out; undefined where there is none. A cancelled search asks for its
 * best network to be kept. A failure is published even while the search is paused. FAILED_PRECONDITION where an event lacks a field that the next work item needs.
 */
export function nextCommand(record: SearchRecord, host: Host): Command | undefined {
  const { search, costTable } = record;
  // Sequence 0: search.created, the first event, is not stored yet.
  if (search.lastSequence === 0) return undefined;
  if (search.state === SearchState.SEARCH_STATE_CANCELLED) return keep(record);
  if (isEnded(search)) return undefined;
  const refused = refusedTarget(search, costTable);
  const failure = record.failure ?? (refused && { phase: "profile", reason: refused.reason, message: refused.message });
  if (failure) {
    const { resumptions: resumption } = search;
    const event: LatheEvent = { type: "search.failed", data: { ...failure, resumption } };
    return { id: `failed:${resumption}`, do: "publish", event };
  }
  if (search.state === SearchState.SEARCH_STATE_PAUSED) return undefined;
  return STEPS.get(search.phase)?.(record, host);
}

function train(record: SearchRecord): Command {
  const { id: searchId, resumptions: resumption } = record.search;
  const spec = needed(record, "spec", record.search.spec);
  const space = needed(record, "space", record.search.space);
  const data = { spec: withShare(spec, space, costTable(record)), space, costTable: costTable(record), resumption };
  const work = (candidate: number, ordinal: number | string): AnyWork => {
    return { searchId, kind: "train", ordinal, data: { ...data, candidate } };
  };
  const networks = trainedApart(spec);
  const evaluated = record.search.result?.candidatesEvaluated ?? 0;
  if (evaluated >= networks) return { id: `train:${resumption}`, do: "work", work: work(0, resumption) };
  const left = Array.from({ length: networks }, (_, at) => at + 1).filter(
    (candidate) => record.ordinals[`candidate.evaluated/${candidate}`] === undefined,
  );
  // A number behind a hyphen is that of a resumption (withdraw.ts).
  const works = left.map((candidate) =>
    work(candidate, resumption === 0 ? `candidate${candidate}` : `candidate${candidate}-${resumption}`),
  );
  return { id: `train:${resumption}:candidates`, do: "works", works };
}

/** Begins the searches that branch off, then derives the network. One that a latency is asked of is measured then, and repaired while it misses the target; where all miss it, the nearest network is chosen. */
function settle(record: SearchRecord): Command {
  const branch = nextBranch(record);
  if (branch) return { id: `branch:${branch.branched.number}`, do: "branch", branch };
  const { "architecture.derived": derived, "architecture.measured": measured = 0 } = record.ordinals;
  if (derived === undefined) return derive(record);
  const chosen = earlierNetwork(record);
  if (chosen) return { id: "chosen", do: "publish", event: { type: "architecture.chosen", data: chosen } };
  const repaired = record.ordinals["architecture.repaired"] ?? 0;
  return measured > repaired ? repair(record, measured) : profile(record, "architecture", repaired + 1);
}

function derive(record: SearchRecord): Command {
  const { id: searchId, resumptions: resumption } = record.search;
  const data = { spec: aimed(record), costTable: costTable(record), resumption, repair: undefined };
  return { id: `derive:${resumption}`, do: "work", work: { searchId, kind: "derive", ordinal: resumption, data } };
}

function repair(record: SearchRecord, number: number): Command {
  const { id: searchId, resumptions: resumption, result } = record.search;
  const target = needed(record, "target", result?.target);
  const aim = { number, targetSeconds: target.targetSeconds, ...newestSeconds(target) };
  const data = { spec: aimed(record), costTable: costTable(record), resumption, repair: aim };
  const ordinal = `repair-${number}-${resumption}`;
  return { id: `derive:${ordinal}`, do: "work", work: { searchId, kind: "derive", ordinal, data } };
}

/** The spec with its target as a share of the largest network's cost. */
function aimed(record: SearchRecord): SearchSpec {
  const { spec, space } = record.search;
  return withShare(needed(record, "spec", spec), needed(record, "space", space), costTable(record));
}

function retrain(record: SearchRecord): Command {
  const { id: searchId, resumptions: resumption } = record.search;
  const spec = needed(record, "spec", record.search.spec);
  const data = {
    spec,
    genotype: needed(record, "genotype", record.search.result?.genotype),
    weights: givenGenotype(spec) ? undefined : needed(record, "weights of the derived network", record.derivedWeights),
    resumption,
  };
  return { id: `retrain:${resumption}`, do: "work", work: { searchId, kind: "retrain", ordinal: resumption, data } };
}

/** The worker finds the network in the history. Nothing is queued where no training has ended an epoch. */
function keep({ search, ordinals, costTable: measured }: SearchRecord): Command | undefined {
  if (ordinals["network.kept"] !== undefined) return undefined;
  const { id: searchId, spec, space, lastEpoch, retrainingEpoch, result } = search;
  const isFound = result?.genotype !== undefined && !givenGenotype(spec);
  if (lastEpoch || retrainingEpoch > 0 || (result?.candidatesEvaluated ?? 0) > 0 || isFound) {
    const byLatency = spec?.cost?.metric === CostMetric.COST_METRIC_LATENCY;
    const table = byLatency ? measured : space && macsTable(space);
    const data = { spec: spec && space && table ? withShare(spec, space, table) : spec, costTable: table };
    return { id: "keep", do: "work", work: { searchId, kind: "keep", ordinal: "cancelled", data } };
  }
  const message = "the search was cancelled before the end of its first epoch: there is no network yet";
  const data = NetworkKept.fromPartial({ reason: "NOT_TRAINED", message });
  return { id: "keep", do: "publish", event: { type: "network.kept", data } };
}

function profile(record: SearchRecord, what: "operators" | "architecture" | "network", number = 0): Command {
  const { id: searchId, resumptions } = record.search;
  const { retraining } = needed(record, "spec", record.search.spec);
  const retrains = (retraining?.epochs ?? 0) > 0;
  const profiling = needed(record, "profiling section", record.search.spec?.profiling);
  // A number behind a hyphen is that of a resumption (withdraw.ts).
  const name = number > 0 ? `${what}${number}` : what;
  const ordinal = resumptions === 0 ? name : `${name}-${resumptions}`;
  const data = {
    profiling,
    number,
    pyramidChannels: (retrains ? retraining?.pyramidChannels : record.search.space?.pyramidChannels) ?? 0,
    space: what === "operators" ? needed(record, "space", record.search.space) : undefined,
    genotype: what === "operators" ? undefined : needed(record, "genotype", record.search.result?.genotype),
    onnx: what === "network" ? needed(record, "ONNX object of the network", record.networkOnnx) : undefined,
    unit: record.costTable?.unit,
  };
  const deviceClass = profiling.deviceClass || "cpu";
  return { id: `profile:${ordinal}`, do: "work", work: { searchId, kind: "profile", ordinal, deviceClass, data } };
}

/** Cost of a network in the metric of the search. */
function costTable(record: SearchRecord): CostTable {
  const measured = record.search.spec?.cost?.metric === CostMetric.COST_METRIC_LATENCY;
  if (measured) return needed(record, "table of measured operators", record.costTable);
  return macsTable(needed(record, "space", record.search.space));
}

function succeed(record: SearchRecord, host: Host): Command {
  const data = { result: finalResult(record, host) };
  return { id: "succeeded", do: "publish", event: { type: "search.succeeded", data } };
}

function finalResult(record: SearchRecord, host: Host): SearchResult {
  const { search, specSha256 } = record;
  return {
    ...needed(record, "result", search.result),
    artifacts: search.artifacts,
    provenance: {
      ...host,
      engine: search.result?.provenance?.engine ?? "",
      seed: search.spec?.seed ?? 0,
      specSha256,
      startedAt: search.createdAt,
      // The time of the last event instead of the present time, so that a repetition publishes the same.
      finishedAt: search.updatedAt,
      datasetSha256: search.result?.dataset?.sha256 ?? "",
    },
  };
}

function needed<T>({ search }: SearchRecord, what: string, value: T | undefined): T {
  if (value !== undefined) return value;
  throw new LatheError("FAILED_PRECONDITION", `search ${search.id} has no ${what}: an event came without it`, {
    reason: "EVENT_INCOMPLETE",
  });
}
