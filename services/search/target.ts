import { LatheError } from "../../shared/process/errors";
import type {
  ArchitectureChosen,
  ArchitectureMeasured,
  ArchitectureRepaired,
} from "../../shared/proto/lathe/v1/events";
import { Repair, TargetFigures, type LatencyFigures } from "../../shared/proto/lathe/v1/result";
import { ConditionStatus, SearchPhase, type Search } from "../../shared/proto/lathe/v1/search";
import type { CostTable } from "../../shared/proto/lathe/v1/space";
import type { CostSpec } from "../../shared/proto/lathe/v1/spec";
import { costOfLargest } from "../../shared/space/cost";
import {
  TARGET_TOLERANCE,
  leastShare,
  targetField,
  targetSeconds,
  targetsOf,
  withShare,
} from "../../shared/spec/target";
import { condition, inaccuracy, result } from "./changes";
import type { SearchRecord } from "./record";

// The course of a search for a latency: it is refused where the space cannot reach it, and its network is measured and repaired.

/**
 * Repairs of a search. The first corrects the table by the measurement of the network itself, so more than two are rare. A network that holds,
 * but is so far off that the next measurement may tell otherwise, gets fewer.
 */
const MOST_REPAIRS = { missing: 4, holding: 2 };

/** Share of the target by which a network may be off without a repair: measurements repeat to some 2 % on a machine that others share. */
const UNREPAIRED = 0.03;

const milliseconds = (seconds: number): string => `${Number((1000 * seconds).toPrecision(3))} ms`;

/** Seconds of a network on the quiet device; the median as it was where no calibration was measured. */
const secondsOf = (latency: LatencyFigures | undefined): number =>
  (latency?.calibratedP50Seconds ?? 0) || (latency?.p50Seconds ?? 0);

/** The latency that a search asks for, in seconds; undefined where it asks for none. */
export const targetOf = ({ spec }: Pick<Search, "spec">): number | undefined => targetSeconds(spec?.cost);

/** The target as a share of the largest network's cost: that of the spec, or that of its latency by the table of the search. */
export function shareOf({ spec, space }: Search, table: CostTable | undefined): number {
  if (!spec || targetSeconds(spec.cost) === undefined || !space || !table) return spec?.cost?.target ?? 0;
  return withShare(spec, space, table).cost?.target ?? 0;
}

/** The first figures of a target: the latencies of the space. Nothing where the search has no latency to reach. */
export function targetFigures(
  search: Search,
  { smallest, conditions }: { smallest?: LatencyFigures | undefined; conditions?: LatencyFigures | undefined },
): Partial<Search> {
  const seconds = targetOf(search);
  if (seconds === undefined) return {};
  const bounds = {
    ...{ smallestSeconds: secondsOf(smallest), largestSeconds: secondsOf(conditions) },
    boundsUnstableBecause: [smallest, conditions].flatMap((measured) => measured?.unstableBecause ?? []),
  };
  return result(search, { target: TargetFigures.fromPartial({ targetSeconds: seconds, ...bounds }) });
}

/**
 * Why a search for a latency, or for a share of the largest network's latency, cannot begin its training once its operators are measured: no
 * network of the space has it, or the table is too inaccurate for a latency and the spec does not accept that. Undefined where it can.
 */
export function refusedTarget(search: Search, table: CostTable | undefined): LatheError | undefined {
  const { spec, space, result: known, phase } = search;
  const cost = spec?.cost;
  if (phase !== SearchPhase.SEARCH_PHASE_PROFILING_OPERATORS || !cost || !space || !table) return undefined;
  if (known?.target) return refusedSeconds(cost, known.target, table);
  const share = leastShare(spec, space, table)?.toFixed(3);
  if (share === undefined) return undefined;
  return new LatheError(
    "FAILED_PRECONDITION",
    `cost.target is ${cost.target}, but the smallest network of the space takes ${share} of the largest network's latency on ${table.device}: give space smaller widths or depths, or a larger target`,
    { reason: "TARGET_INFEASIBLE" },
  );
}

function refusedSeconds(cost: CostSpec, bounds: TargetFigures, table: CostTable): LatheError | undefined {
  const { smallestSeconds, largestSeconds, boundsUnstableBecause: doubts } = bounds;
  // Where the head takes nearly all of the time, noise may put the smallest network above the largest.
  const [least, most] = [Math.min(smallestSeconds, largestSeconds), Math.max(smallestSeconds, largestSeconds)];
  const isOutside = (wanted: number) =>
    wanted * (1 + TARGET_TOLERANCE) < least || wanted * (1 - TARGET_TOLERANCE) > most;
  const outside = targetsOf(cost).find(({ seconds }) => isOutside(seconds));
  if (outside) {
    const { text, seconds } = outside;
    const target = `${targetField(cost)}${text.endsWith("ms") ? "" : ` (${text} is ${milliseconds(seconds)})`}`;
    const doubt =
      doubts.length > 0 ? `. They were not measured well, so first try a quieter device: ${doubts.join("; ")}` : "";
    const [size, pace] = seconds < least ? ["smaller", "slower"] : ["larger", "faster"];
    return new LatheError(
      "FAILED_PRECONDITION",
      `${target}, but the networks of the space take ${milliseconds(least)} to ${milliseconds(most)} on ${table.device}: give space ${size} widths, depths or input sizes, or a ${pace} target${doubt}`,
      { reason: "TARGET_INFEASIBLE" },
    );
  }
  const inaccurate = inaccuracy(table.check);
  if (inaccurate === "" || cost.acceptInaccurateTable) return undefined;
  return new LatheError(
    "FAILED_PRECONDITION",
    `${targetField(cost)}, but ${inaccurate}: start a new search on a quieter device, or with cost.accept_inaccurate_table, because the network itself is measured and repaired`,
    { reason: "TABLE_INACCURATE" },
  );
}

/** The prediction for the derived network, in seconds. */
export function predicted({ search, costTable }: SearchRecord, costRatio: number): Partial<Search> {
  const { space, result: known } = search;
  if (!known?.target || !space || !costTable) return {};
  return result(search, { target: { ...known.target, predictedSeconds: costRatio * costOfLargest(space, costTable) } });
}

const isWithin = ({ targetSeconds: wanted, measuredSeconds }: TargetFigures, share: number): boolean =>
  // A difference of exactly that share may be a rounding error above it.
  Math.abs(measuredSeconds - wanted) <= (share + 1e-9) * wanted;

const holds = (target: TargetFigures): boolean => isWithin(target, TARGET_TOLERANCE);

/** Number of the repair that has made the newest network; 0 for the derived one. */
export const newestOf = ({ repairs }: TargetFigures): number => repairs.at(-1)?.number ?? 0;

/** Whether the network that was measured last needs no further repair. */
export function isSettled({ result: known }: Pick<Search, "result">): boolean {
  const target = known?.target;
  if (target === undefined || isWithin(target, UNREPAIRED)) return true;
  return target.repairs.length >= (holds(target) ? MOST_REPAIRS.holding : MOST_REPAIRS.missing);
}

/** The figures after the choice of an earlier network. */
export function withChoice(search: Search, chosen: ArchitectureChosen, time: Date): Partial<Search> {
  const target = search.result?.target;
  if (!target) return {};
  const { repair: chosenRepair, measuredSeconds } = chosen;
  return judged(search, { ...target, chosenRepair, measuredSeconds }, time);
}

/** The figures after a measurement of the derived network or of a repaired one. */
export function withMeasurement(
  search: Search,
  { number, latency }: ArchitectureMeasured,
  time: Date,
): Partial<Search> {
  const target = search.result?.target;
  if (!target) return {};
  const measuredSeconds = secondsOf(latency);
  const repairs = target.repairs.map((one) => (one.number === number - 1 ? { ...one, measuredSeconds } : one));
  const unstable = latency?.stable === false ? [...target.unstable, number - 1] : target.unstable;
  const derived = number === 1 && { derivedSeconds: measuredSeconds };
  return judged(search, { ...target, repairs, measuredSeconds, unstable, ...derived }, time);
}

/** Networks whose predictions differ by at most this factor are off by about the same share. */
const ALIKE = 1.5;

/**
 * Seconds that the newest network takes by the measurements of a search: its prediction, times the geometric mean of what networks like it took
 * over their predictions. Stable measurements alone count where there are any; one on a busy machine may be far off.
 */
export function newestSeconds({ predictedSeconds, derivedSeconds, repairs, unstable }: TargetFigures): {
  predictedSeconds: number;
  measuredSeconds: number;
} {
  const all = [{ number: 0, predictedSeconds, measuredSeconds: derivedSeconds }, ...repairs];
  const newest = repairs.at(-1)?.predictedSeconds ?? predictedSeconds;
  const measured = all.filter((one) => one.measuredSeconds > 0);
  const stable = someOf(measured, ({ number }) => !unstable.includes(number));
  const like = someOf(stable, (one) => Math.abs(Math.log(one.predictedSeconds / newest)) <= Math.log(ALIKE));
  const logs = like.map((one) => Math.log(one.measuredSeconds / one.predictedSeconds));
  const ratio = Math.exp(logs.reduce((sum, log) => sum + log, 0) / logs.length);
  return { predictedSeconds: newest, measuredSeconds: newest * ratio };
}

/** The entries that fulfil a condition; all where none does. */
function someOf<T>(list: readonly T[], holds: (one: T) => boolean): readonly T[] {
  const some = list.filter(holds);
  return some.length > 0 ? some : list;
}

/** The figures after a repair that changed the network. */
export function withRepair({ search, costTable }: SearchRecord, repair: ArchitectureRepaired): Partial<Search> {
  const { space, result: known } = search;
  if (!known?.target || !space || !costTable) return {};
  const { number, changes, miouBefore, discreteMiou: miouAfter, costRatio } = repair;
  const predictedSeconds = costRatio * costOfLargest(space, costTable);
  const made = Repair.fromPartial({ number, changes, predictedSeconds, miouBefore, miouAfter });
  return result(search, {
    target: { ...known.target, repairs: [...known.target.repairs, made], chosenRepair: number },
  });
}

/** The figures of the network of the result. */
export function finallyMeasured(search: Search, latency: LatencyFigures | undefined, time: Date): Partial<Search> {
  const target = search.result?.target;
  if (!target) return {};
  return judged(search, { ...target, measuredSeconds: secondsOf(latency) }, time);
}

/** Says which network the search goes on with, where there are several. */
function howChosen(target: TargetFigures): string {
  const { repairs, chosenRepair } = target;
  const all = repairs.length === 1 ? "1 repair" : `${repairs.length} repairs`;
  if (chosenRepair === newestOf(target)) return repairs.length > 0 ? `, after ${all}` : "";
  if (chosenRepair === 0) return `, as it was derived: nearer to the target than after ${all}`;
  return `, after repair ${chosenRepair} of ${repairs.length}: the nearest to the target`;
}

/** Result and condition "CostTarget": whether the measured latency is within 5 % of the target. */
function judged(search: Search, target: TargetFigures, time: Date): Partial<Search> {
  const { targetSeconds: wanted, measuredSeconds, predictedSeconds, repairs, chosenRepair } = target;
  const off = `${(100 * (measuredSeconds / wanted - 1)).toFixed(1)} %`;
  const expected = repairs.find(({ number }) => number === chosenRepair)?.predictedSeconds ?? predictedSeconds;
  const message = `the network takes ${milliseconds(measuredSeconds)}${howChosen(target)}; predicted ${milliseconds(expected)}, target ${milliseconds(wanted)}, off by ${off}`;
  const { CONDITION_STATUS_TRUE: TRUE, CONDITION_STATUS_FALSE: FALSE } = ConditionStatus;
  const held = holds(target);
  const costMiss = held ? "" : `${message}; at most ${100 * TARGET_TOLERANCE} % count as met`;
  return {
    ...result(search, { target, costMiss }),
    ...(held
      ? condition(search, "CostTarget", TRUE, "COST_MET", message, time)
      : condition(search, "CostTarget", FALSE, "COST_MISSED", costMiss, time)),
  };
}
