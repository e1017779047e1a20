import type { LatencyFigures } from "../../shared/proto/lathe/v1/result";
import { NARROW, type Samples } from "./sampling";
import { ascending, driftOf, medianInterval, outliersOf, percentile, spreadOf } from "./statistics";

/** Device and settings of a measurement. */
export type Conditions = Pick<
  LatencyFigures,
  | "device"
  | "deviceClass"
  | "runtime"
  | "precision"
  | "batchSize"
  | "inputHeight"
  | "inputWidth"
  | "threads"
  | "measuredOn"
>;

/** Bounds of a stable measurement: the runs' change from first to last, the share of time without a core (isBusy), p95 / p50, and the calibration. */
const MOST = { drift: 0.05, waiting: 0.05, tail: 1.5, calibration: 1.2 };

/**
 * Percentiles (nearest rank) and mean of samples in seconds, with the conditions of their measurement, and whether it can be trusted.
 * `reference` is the calibration network's median on the quiet device, where it is known: calibrated p50 = reference * sparedRatio. A device
 * that is faster meanwhile lowers it, unless it is fixed.
 */
export function summarise(
  samples: Samples,
  conditions: Conditions,
  reference?: number,
  isFixed = false,
): LatencyFigures {
  const { seconds, warmupRuns, calibration } = samples;
  const sorted = ascending(seconds);
  const p50 = percentile(sorted, 50);
  const interval = medianInterval(sorted);
  const drift = driftOf(seconds);
  const paced = ascending(calibration);
  const now = paced.length > 0 ? percentile(paced, 50) : 0;
  const known = reference ?? now;
  const quiet = now > 0 ? (isFixed ? known : Math.min(known, now)) : 0;
  const spared = now > 0 ? sparedRatio(samples, conditions) : 0;
  const figures = {
    ...conditions,
    warmupRuns,
    runs: sorted.length,
    p50Seconds: p50,
    p50LowSeconds: interval?.low ?? 0,
    p50HighSeconds: interval?.high ?? 0,
    p90Seconds: percentile(sorted, 90),
    p95Seconds: percentile(sorted, 95),
    p99Seconds: percentile(sorted, 99),
    meanSeconds: sorted.reduce((sum, value) => sum + value, 0) / sorted.length,
    framesPerSecond: conditions.batchSize / p50,
    outliers: outliersOf(sorted),
    driftRatio: drift.isTrend ? drift.ratio : 0,
    waitingShare: waitingShare(samples, conditions),
    calibrationSeconds: now,
    calibrationReferenceSeconds: quiet,
    calibratedP50Seconds: now > 0 ? spared * quiet : p50,
  };
  const unstableBecause = faultsOf(figures, samples);
  return { ...figures, stable: unstableBecause.length === 0, unstableBecause };
}

/** The waits of a measurement for a core, and the threads of its runs. */
type Disturbed = Pick<Samples, "elapsedMs" | "waitedMs">;
type Threads = Pick<Conditions, "threads">;

/** Share of the time that the threads waited for a core. */
const waitingShare = ({ elapsedMs, waitedMs }: Disturbed, { threads }: Threads): number =>
  elapsedMs > 0 ? Math.max(0, waitedMs) / (elapsedMs * threads) : 0;

/** Whether the threads waited for a core so often that few runs were spared. */
export const isBusy = (disturbed: Disturbed, threads: Threads): boolean =>
  waitingShare(disturbed, threads) > MOST.waiting;

/**
 * Time of a run over that of a unit of the calibration network, as they are where other programs spare both. These delay some runs and spare
 * others, so it is the ratio of tenth percentiles. On a busy machine they spare few runs, and it is the ratio of the shortest.
 */
export function sparedRatio(samples: Disturbed & Pick<Samples, "seconds" | "calibration">, threads: Threads): number {
  const busy = isBusy(samples, threads);
  const spared = (of: Float64Array) => (busy ? Math.min(...of) : percentile(ascending(of), 10));
  return spared(samples.seconds) / spared(samples.calibration);
}

type Figures = Omit<LatencyFigures, "stable" | "unstableBecause">;

/**
 * A sentence for each reason not to trust a measurement. Where the calibration network ran in turns with it, a drift that both have is the
 * machine's, and is divided out.
 */
function faultsOf(figures: Figures, { isWarm, seconds, paced }: Samples): string[] {
  const { runs, warmupRuns, p50Seconds, p95Seconds, waitingShare } = figures;
  const spread = Math.min(spreadOf(ascending(seconds)), spreadOf(ascending(paced)));
  const drift = driftOf(paced.length > 0 ? paced : seconds);
  const driftRatio = drift.isTrend ? drift.ratio : 0;
  const slowness = figures.calibrationSeconds / (figures.calibrationReferenceSeconds || Infinity);
  const reasons: [isFault: boolean, reason: () => string][] = [
    [!isWarm, () => `after a warm-up of ${counted(warmupRuns)} the runs were not yet even`],
    [runs < FEWEST, () => `${counted(runs)} cannot tell how well the median is known, at least ${FEWEST} can`],
    [
      runs >= FEWEST && spread > NARROW,
      () => `the median of ${runs} runs is known to ${percent(spread)} only, must be ${percent(NARROW)}`,
    ],
    [
      Math.abs(driftRatio) > MOST.drift,
      () =>
        `the runs became ${percent(Math.abs(driftRatio))} ${driftRatio > 0 ? "slower" : "faster"} from first to last${paced.length > 0 ? ", beside the calibration network" : ""}`,
    ],
    [
      waitingShare > MOST.waiting,
      () => `the threads waited ${percent(waitingShare)} of the time for a core: the machine is busy`,
    ],
    [p95Seconds > MOST.tail * p50Seconds, () => `p95 is ${(p95Seconds / p50Seconds).toFixed(1)} times p50`],
    [
      slowness > MOST.calibration,
      () => `the calibration network took ${slowness.toFixed(2)} times as long as on the quiet device`,
    ],
  ];
  return reasons.flatMap(([isFault, reason]) => (isFault ? [reason()] : []));
}

/** Fewer runs have no interval of their median. */
const FEWEST = 6;

const counted = (runs: number): string => `${runs} run${runs === 1 ? "" : "s"}`;
const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
