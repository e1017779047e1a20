import { LeftOutSearch, ParetoConditions, ParetoPoint } from "../proto/lathe/v1/pareto";
import { DecidedBy, type SearchResult } from "../proto/lathe/v1/result";
import { ConditionStatus, SearchState, type Search } from "../proto/lathe/v1/search";
import { DatasetKind, DatasetSpec, type SearchSpec } from "../proto/lathe/v1/spec";
import { enumWord } from "../spec/bounds";

/** A search that has ended with a network, as its record or its result folder gives it. */
export interface Ended {
  searchId: string;
  name: string;
  spec: SearchSpec | undefined;
  result: SearchResult | undefined;
}

/** A network that can be compared, with all that its figures depend on. */
export interface Candidate {
  point: ParetoPoint;
  /** The calibration network's time on the quiet device as this measurement knew it; undefined where the latency is not calibrated. */
  referenceSeconds: number | undefined;
  conditions: ParetoConditions;
  labels: Readonly<Record<string, string>>;
  /** The data set by its spec: what identifies the data where no fingerprint is recorded. */
  data: string;
}

/** Why a search is not compared. */
type Reason =
  | "NOT_ENDED"
  | "NO_NETWORK"
  | "NO_MIOU"
  | "NO_LATENCY"
  | "DATA_CHANGED"
  | "OTHER_LABELS"
  | "OTHER_DATA"
  | "OTHER_DEVICE"
  | "OTHER_SETTINGS";

/** An answer that leaves a search out; `message` is one sentence for people. */
export const leftOut = (
  { searchId, name }: Pick<Ended, "searchId" | "name">,
  reason: Reason,
  message: string,
): LeftOutSearch => LeftOutSearch.fromPartial({ searchId, name, reason, message });

/** The network of a search as a candidate of a front, or why it is none. */
export function candidateOf(ended: Ended): { candidate: Candidate } | { leftOut: LeftOutSearch } {
  const { searchId, name, spec, result } = ended;
  const without = (reason: Reason, message: string) => ({ leftOut: leftOut(ended, reason, message) });
  if (!result) return without("NO_NETWORK", "the search has no result");
  // As everywhere a result is shown: zero is a mIoU, so it does not say that there is none.
  const retrained = result.retrainedBestEpoch > 0 || result.retrainingSeconds > 0;
  const miou = retrained ? result.retrainedMiou : result.discreteMiou;
  const derived = result.decidedBy !== DecidedBy.DECIDED_BY_UNSPECIFIED;
  if (!(retrained || derived) || !Number.isFinite(miou))
    return without("NO_MIOU", "the mIoU of the network was not measured");
  const { latency } = result;
  if (!latency || !isPositive(latency.p50Seconds))
    return without("NO_LATENCY", "the latency of the network was not measured");
  if (result.dataChange)
    return without("DATA_CHANGED", `the work of the search read different data: ${result.dataChange}`);
  const { p50Seconds, p95Seconds, framesPerSecond, unstableBecause, ...measured } = latency;
  const { calibratedP50Seconds, calibrationReferenceSeconds } = measured;
  const calibrated = isPositive(calibrationReferenceSeconds) && isPositive(calibratedP50Seconds);
  const comparedSeconds = calibrated ? calibratedP50Seconds : p50Seconds;
  const { dataset } = spec ?? {};
  const { device, deviceClass, runtime, precision, batchSize, inputHeight, inputWidth, threads } = measured;
  const conditions = ParetoConditions.fromPartial({
    datasetSha256: result.dataset?.sha256 ?? "",
    datasetKind: dataset?.kind ?? DatasetKind.DATASET_KIND_UNSPECIFIED,
    datasetPath: dataset?.path ?? "",
    retrained,
    miouClasses: retrained ? result.retrainedMiouClasses : result.discreteMiouClasses,
    ...{ device, deviceClass, runtime, precision, batchSize, inputHeight, inputWidth, threads },
    deviceKey: measured.measuredOn?.key ?? "",
  });
  const { figures } = result;
  const point = {
    ...{ searchId, name, miou, p50Seconds, p95Seconds, framesPerSecond, unstableBecause },
    ...{ comparedSeconds, calibrated },
    ...(figures && { figures }),
  };
  return {
    candidate: {
      ...{ point: ParetoPoint.fromPartial(point), conditions },
      ...{ labels: spec?.labels ?? {}, data: dataOf(spec) },
      referenceSeconds: calibrated ? calibrationReferenceSeconds : undefined,
    },
  };
}

const isPositive = (seconds: number): boolean => seconds > 0 && Number.isFinite(seconds);

/** The network of a search by its record, or why it is no candidate. */
export function candidateOfSearch(search: Search): ReturnType<typeof candidateOf> {
  const { id: searchId, state, spec, result, conditions } = search;
  const ended = { searchId, name: spec?.labels.name ?? "", spec, result };
  const kept = conditions.some(
    ({ type, status }) => type === "Kept" && status === ConditionStatus.CONDITION_STATUS_TRUE,
  );
  if (state === SearchState.SEARCH_STATE_SUCCEEDED || kept) return candidateOf(ended);
  const is = `the search is ${enumWord(SearchState, "SEARCH_STATE_", state).toUpperCase()}`;
  const over = state === SearchState.SEARCH_STATE_FAILED || state === SearchState.SEARCH_STATE_CANCELLED;
  return { leftOut: over ? leftOut(ended, "NO_NETWORK", `${is} and has no network`) : leftOut(ended, "NOT_ENDED", is) };
}

/** The data set of a spec as a text: all fields but the licence, and the seed where it decides the scenes. */
function dataOf(spec: SearchSpec | undefined): string {
  const { dataset } = spec ?? {};
  if (!dataset) return "";
  const labelValues = Object.fromEntries(Object.entries(dataset.labelValues).sort(([a], [b]) => (a < b ? -1 : 1)));
  const scenes = dataset.kind === DatasetKind.DATASET_KIND_STREETS;
  return JSON.stringify([
    DatasetSpec.toJSON({ ...dataset, labelValues, license: "" }),
    scenes ? (spec?.seed ?? 0) : null,
  ]);
}
