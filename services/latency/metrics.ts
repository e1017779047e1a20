import { LatheError } from "../../shared/process/errors";
import type { Logger } from "../../shared/process/logger";
import type { Metrics } from "../../shared/process/metrics";
import type { LatencyFigures } from "../../shared/proto/lathe/v1/result";
import type { CostTable, CostUnit } from "../../shared/proto/lathe/v1/space";
import type { Fragments } from "./fragments";
import type { Subject } from "./network";
import type { Operators } from "./operators";
import type { Profiler } from "./profiler";
import type { FragmentCalls } from "./ratios";
import type { References } from "./references";
import type { ProfilingSettings } from "./settings";
import { inUnit } from "./unit";

export type ProfileKind = "network" | "operators";

export interface ObservedProfiler extends Omit<Profiler, "network" | "operators"> {
  /** The figures of each batch size, in their order, in the unit of a table where it is given (References.figures). */
  network(
    subject: Subject,
    settings: ProfilingSettings,
    signal: AbortSignal,
    unit?: CostUnit,
  ): Promise<LatencyFigures[]>;
  operators(
    operators: Operators,
    settings: ProfilingSettings,
    signal: AbortSignal,
    progress?: (done: number, of: number) => void,
  ): Promise<{ table: CostTable } & { conditions: LatencyFigures; smallest: LatencyFigures }>;
  /** Counts a work item that was skipped because its search needs no measurement. */
  skipped(kind: ProfileKind): void;
}

const LATENCY_BUCKETS = [1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5];

/** Wraps a profiler: compares, counts and logs its measurements, and exports the newest errors of the latency model. */
export function observeProfiler(
  profiler: Profiler,
  { references, fragments }: { references: References; fragments: Fragments },
  metrics: Metrics,
  logger: Logger,
): ObservedProfiler {
  const latency = metrics.histogram(
    "nas_profiler_latency_seconds",
    "Duration of each timed run of a profiled network.",
    LATENCY_BUCKETS,
    ["device", "precision"],
  );
  const runs = metrics.counter("nas_profiler_runs_total", "Measurements by what was measured and how they ended.", [
    "kind",
    "outcome",
  ]);
  const error = metrics.gauge(
    "nas_latency_model_error_ratio",
    "Mean relative error of the newest operator table on networks sampled from its space.",
    ["device"],
  );
  const correlation = metrics.gauge(
    "nas_latency_rank_correlation",
    "Spearman's rank correlation of the newest operator table with networks sampled from its space.",
    ["device"],
  );
  metrics.gauge("nas_profiler_pending", "Measurements that run or wait for their turn.", [], (gauge) =>
    gauge.set(profiler.pending()),
  );
  for (const kind of ["network", "operators"])
    for (const outcome of ["ok", "failed", "cancelled", "skipped"]) runs.inc({ kind, outcome }, 0);

  const counted = async <T>(kind: ProfileKind, signal: AbortSignal, measure: () => Promise<T>): Promise<T> => {
    try {
      const result = await measure();
      runs.inc({ kind, outcome: "ok" });
      return result;
    } catch (error) {
      const cancelled = signal.aborted || LatheError.from(error).code === "CANCELLED";
      runs.inc({ kind, outcome: cancelled ? "cancelled" : "failed" });
      throw error;
    }
  };
  const said = (message: string, figures: LatencyFigures): LatencyFigures => {
    const { deviceClass, batchSize, p50Seconds, runs: timed, stable, unstableBecause } = figures;
    const fields = { deviceClass, batchSize, p50Seconds, runs: timed };
    if (stable) logger.info(message, fields);
    else logger.warn(`${message}, but the measurement is unstable`, { ...fields, unstableBecause });
    return figures;
  };
  return {
    devices: (served, threads, signal) => profiler.devices(served, threads, signal),
    free: (signal) => profiler.free(signal),
    pending: () => profiler.pending(),
    pids: () => profiler.pids(),
    skipped: (kind) => runs.inc({ kind, outcome: "skipped" }),
    network: async (subject, settings, signal, unit) => {
      const measured = await counted("network", signal, () => profiler.network(subject, settings, signal));
      const figures: LatencyFigures[] = [];
      for (const one of measured) {
        const { deviceClass: device, precision } = one.conditions;
        for (const seconds of one.samples.seconds) latency.observe({ device, precision }, seconds);
        figures.push(said("network profiled", await references.figures(one, unit)));
      }
      return figures;
    },
    operators: async (operators, settings, signal, progress = () => {}) => {
      const calls: FragmentCalls = {
        known: (keys) => fragments.known(keys),
        keep: (key, timing) => fragments.keep(key, timing),
        progress,
      };
      const measured = await counted("operators", signal, () => profiler.operators(operators, settings, calls, signal));
      await fragments.prune();
      const { table, largest, smallest, quietUnit } = measured;
      const { meanError = 0, rankCorrelation = 0 } = table.check ?? {};
      error.set({ device: settings.deviceClass }, meanError);
      correlation.set({ device: settings.deviceClass }, rankCorrelation);
      logger.info("operators profiled", { operators: table.candidates.length, meanError, rankCorrelation });
      const { unit, figures } = await references.unit([largest, smallest], quietUnit);
      const [conditions, least] = figures as [LatencyFigures, LatencyFigures];
      return {
        table: inUnit(table, unit),
        conditions: said("largest network profiled", conditions),
        smallest: said("smallest network profiled", least),
      };
    },
  };
}
