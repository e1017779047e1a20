import type { ArchitectureDerived, NetworkKept, NetworkTrained } from "../../shared/proto/lathe/v1/events";
import {
  HealthAlarmKind,
  SearchResult,
  type ArtifactRef,
  type DatasetFigures,
  type EpochHealth,
  type LatencyFigures,
  type SplitFigures,
} from "../../shared/proto/lathe/v1/result";
import { ConditionStatus, SearchPhase, SearchState, type Search } from "../../shared/proto/lathe/v1/search";
import type { CostCheck } from "../../shared/proto/lathe/v1/space";
import type { CostSpec } from "../../shared/proto/lathe/v1/spec";
import { alarmReason } from "../../shared/spec/health";
import { SHARE_TOLERANCE } from "../../shared/spec/target";

// The parts of a search that the rules of lifecycle.ts change.

const { CONDITION_STATUS_TRUE: TRUE, CONDITION_STATUS_FALSE: FALSE } = ConditionStatus;

/** The state after a sign of life of a worker. */
export function begun({ state }: Search): { state: SearchState } {
  return { state: state === SearchState.SEARCH_STATE_PENDING ? SearchState.SEARCH_STATE_RUNNING : state };
}

/** The later of two phases: a late event does not set a search back. */
export function reached({ phase }: Search, next: SearchPhase): { phase: SearchPhase } {
  return { phase: Math.max(phase, next) };
}

/** The conditions Failed and Paused of a search become false when it is resumed, and keep the cause in their message. */
export function revived({ conditions: known }: Search, time: Date): Pick<Search, "conditions"> {
  const standing = known.filter(({ type, status }) => ["Failed", "Paused"].includes(type) && status === TRUE);
  return standing.reduce<Pick<Search, "conditions">>(
    (search, { type, reason, message }) =>
      condition(search, type, FALSE, "RESUMED", `resumed after ${reason}: ${message}`, time),
    { conditions: known },
  );
}

/** The condition Healthy becomes true after an epoch in which no alarm but that of a plateau holds. */
export function recovered(search: Search, health: EpochHealth | undefined, time: Date): Partial<Search> {
  const ill = health?.standing.some((kind) => kind !== HealthAlarmKind.HEALTH_ALARM_KIND_PLATEAU) ?? true;
  const known = search.conditions.find(({ type }) => type === "Healthy");
  if (ill || known?.status === TRUE) return {};
  return condition(search, "Healthy", TRUE, "NO_ALARM", "no condition of an alarm holds", time);
}

/** The condition that an alarm makes false; none for that of a plateau, where a search is still healthy. */
export function alarmCondition(search: Search, kind: HealthAlarmKind, message: string, time: Date): Partial<Search> {
  if (kind === HealthAlarmKind.HEALTH_ALARM_KIND_PLATEAU) return {};
  if (kind === HealthAlarmKind.HEALTH_ALARM_KIND_DATA_CHANGED) return otherData(search, message, time);
  // Training does not change the labels, so no epoch makes this condition true.
  const type = kind === HealthAlarmKind.HEALTH_ALARM_KIND_LABELS ? "Labels" : "Healthy";
  return condition(search, type, FALSE, alarmReason(kind), message, time);
}

/** The changes by work that read other data than the first epoch: none where `dataChange` is empty. The condition stays. */
export function otherData(
  search: Search,
  dataChange: string,
  time: Date,
): Partial<Pick<Search, "conditions" | "result">> {
  if (dataChange === "") return {};
  const reason = alarmReason(HealthAlarmKind.HEALTH_ALARM_KIND_DATA_CHANGED);
  return { ...condition(search, "Data", FALSE, reason, dataChange, time), ...result(search, { dataChange }) };
}

/** The data that the first epoch read, without what tells files apart; it stays as it is once it is known. */
export function dataRead(search: Search, dataset: DatasetFigures | undefined): Partial<Pick<Search, "result">> {
  if (!dataset || search.result?.dataset) return {};
  const whole = (split: SplitFigures | undefined) => split && { ...split, files: "" };
  const { train, validation } = dataset;
  return result(search, { dataset: { ...dataset, train: whole(train), validation: whole(validation) } });
}

export function condition(
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

export function result({ result: known }: Search, found: Partial<SearchResult>): { result: SearchResult } {
  return { result: { ...(known ?? SearchResult.fromPartial({})), ...found } };
}

export function artifacts(
  { artifacts: known }: Search,
  ...added: (ArtifactRef | undefined)[]
): Pick<Search, "artifacts"> {
  const names = new Set(known.map(({ object }) => object));
  return { artifacts: [...known, ...added.filter((ref): ref is ArtifactRef => !!ref && !names.has(ref.object))] };
}

/** The results of a kept network. A network of retraining adds to those of the derived one. */
export function keptResult(kept: NetworkKept, costTarget: number): Partial<SearchResult> {
  const { phase, epoch, genotype, decidedBy, validationMiou, miouClasses, supernetMiou, figures, costRatio } = kept;
  if (phase === "retrain")
    return { figures, retrainedMiou: validationMiou, retrainedMiouClasses: miouClasses, retrainedBestEpoch: epoch };
  return {
    genotype,
    decidedBy,
    supernetMiou,
    discreteMiou: validationMiou,
    discreteMiouClasses: miouClasses,
    discretizationGap: supernetMiou === 0 ? 0 : supernetMiou - validationMiou,
    figures,
    costRatio,
    costTarget,
  };
}

/** A sentence that says why a derived network misses the cost target; "" where it meets the target or none is set. */
export function costMiss(
  cost: CostSpec | undefined,
  { costRatio, smallestCostRatio }: Pick<ArchitectureDerived, "costRatio" | "smallestCostRatio">,
): string {
  const { target, weight } = { target: cost?.target ?? 0, weight: cost?.weight ?? 0 };
  if (target === 0 || weight === 0 || Math.abs(costRatio - target) <= SHARE_TOLERANCE * target + 1e-9) return "";
  const percent = (ratio: number) => `${(100 * ratio).toFixed(1)} %`;
  const missed = `the network costs ${percent(costRatio)} of the largest, the target is ${percent(target)}`;
  return smallestCostRatio > target
    ? `${missed}: the smallest network of the space costs ${percent(smallestCostRatio)}; give space smaller widths or depths`
    : `${missed}, which the space can reach (from ${percent(smallestCostRatio)} on): raise cost.weight or set cost.adapt`;
}

export const trainedAt = ({ validationMiou, bestEpoch }: NetworkTrained) =>
  `${points(validationMiou)} mIoU points at epoch ${bestEpoch}, the best`;

/** Mean error and rank correlation from which on a table of latencies predicts networks well enough. */
const TABLE = { mostError: 0.1, leastCorrelation: 0.95 };

/** "CostTable" is false where the table of latencies predicts networks of the space badly, and absent where it does not. */
export function tableChecked(
  search: Search,
  check: CostCheck | undefined,
  time: Date,
): Partial<Pick<Search, "conditions">> {
  const message = inaccuracy(check);
  return message === "" ? {} : condition(search, "CostTable", FALSE, "INACCURATE", message, time);
}

/** A sentence that says how badly a table of latencies predicts networks; "" where it predicts them well enough. */
export function inaccuracy(check: CostCheck | undefined): string {
  if (!check || (check.meanError <= TABLE.mostError && check.rankCorrelation >= TABLE.leastCorrelation)) return "";
  const error = `${(100 * check.meanError).toFixed(1)} %, should be at most ${100 * TABLE.mostError} %`;
  const correlation = `${check.rankCorrelation.toFixed(3)}, should be at least ${TABLE.leastCorrelation}`;
  return `on ${check.networks} measured networks of the space, the mean error of predicted latencies is ${error}; their rank correlation is ${correlation}`;
}

/** The conditions of a measured network: "Latency" is false where the measurement is unstable, and absent where it is not. */
export function profiled(search: Search, latency: LatencyFigures | undefined, time: Date): Pick<Search, "conditions"> {
  const { p50Seconds = 0, device = "?", unstableBecause = [] } = latency ?? {};
  const measured = `p50 ${(p50Seconds * 1000).toFixed(2)} ms on ${device}`;
  const known = condition(search, "Profiled", TRUE, "PROFILED", measured, time);
  if (unstableBecause.length === 0) return known;
  return condition({ ...search, ...known }, "Latency", FALSE, "UNSTABLE", unstableBecause.join("; "), time);
}

/** 0.4567 as "45.7". */
export const points = (miou: number) => (100 * miou).toFixed(1);
