import type { Bus } from "../../shared/events/bus";
import type { LatheEvent } from "../../shared/events/catalog";
import { awaitEvent, historyOnce } from "../../shared/events/history";
import type { Consumption } from "../../shared/events/consumer";
import type { Objects } from "../../shared/events/objects";
import { publishEvent } from "../../shared/events/publisher";
import { takeWork, type WorkItem, type WorkOutcome } from "../../shared/events/work";
import { LatheError } from "../../shared/process/errors";
import type { Logger } from "../../shared/process/logger";
import type { ProfileWork } from "../../shared/proto/lathe/v1/events";
import { refuse, spaceViolations } from "../../shared/space/validate";
import type { ObservedProfiler, ProfileKind } from "./metrics";
import { completeSettings, profilingViolations, type ProfilingSettings } from "./settings";
import { situation, stopsMeasurement } from "./situation";

export interface LatencyConsumer {
  bus: Bus;
  artifacts: Pick<Objects, "get">;
  profiler: Pick<ObservedProfiler, "network" | "operators" | "skipped">;
  defaults: ProfilingSettings;
  logger: Logger;
  /** Silence after which this worker is taken for dead; a minute unless given. */
  leaseMs?: number;
}

const STOPPED = "MEASUREMENT_POINTLESS";

/** Takes the profiling items of this device class, one at a time, and tells what was measured. */
export function consumeProfileWork(options: LatencyConsumer): Promise<Consumption> {
  const { bus, defaults, leaseMs } = options;
  return takeWork(bus, {
    kind: "profile",
    deviceClass: defaults.deviceClass,
    ...(leaseMs !== undefined && { ackWaitMs: leaseMs }),
    handler: (work, { signal }) => carryOut(work, options, signal),
    onExhausted: async ({ work, deliveries, error }) => {
      // Without a readable item there is no search to tell it to; the bus has logged it.
      if (!work) return;
      const data = { phase: "profile", reason: error.reason, message: error.message, deliveries };
      const ordinal = work.id.slice(work.searchId.length + 1);
      await publishEvent(bus, work.searchId, { type: "work.failed", data }, { ordinal });
    },
  });
}

async function carryOut(
  { id, searchId, data }: WorkItem<"profile">,
  options: LatencyConsumer,
  signal: AbortSignal,
): Promise<WorkOutcome> {
  const { bus, profiler, logger } = options;
  const kind: ProfileKind = data.onnx ? "network" : "operators";
  const skip = (why: string | undefined): WorkOutcome => {
    profiler.skipped(kind);
    logger.info("profiling item skipped", { searchId, work: id, why });
    return "done";
  };
  const found = situation(await historyOnce(bus, searchId, 0, signal), kind);
  if (found.skip !== undefined) return skip(found.skip);

  const pointless = new AbortController();
  const ended = new AbortController();
  const watching = awaitEvent(
    bus,
    searchId,
    found.sequence + 1,
    (stored) => {
      const why = stopsMeasurement(stored);
      if (why !== undefined) pointless.abort(new LatheError("CANCELLED", why, { reason: STOPPED }));
      return why !== undefined;
    },
    AbortSignal.any([signal, ended.signal]),
  ).catch((error: unknown) => {
    // Watching only spares time: without it the measurement is made for nothing.
    if (!ended.signal.aborted && !signal.aborted) logger.warn("a search is not watched", { searchId, error });
  });
  try {
    const event = await measure(data, options, AbortSignal.any([signal, pointless.signal]));
    await publishEvent(bus, searchId, event, { signal });
    return "done";
  } catch (error) {
    if (pointless.signal.aborted && !signal.aborted) return skip(LatheError.from(pointless.signal.reason).message);
    throw error;
  } finally {
    ended.abort();
    await watching;
  }
}

async function measure(
  { onnx, space, profiling }: ProfileWork,
  { artifacts, profiler, defaults }: LatencyConsumer,
  signal: AbortSignal,
): Promise<LatheEvent> {
  const subject =
    onnx || space ? [] : [{ field: "onnx", description: "is missing, and so is space: nothing to measure" }];
  const inSpace = space && !onnx ? spaceViolations(space, "space.") : [];
  const inProfiling = profilingViolations(profiling, defaults.deviceClass, "profiling.");
  refuse("WORK_INVALID", "profiling work", [...subject, ...inSpace, ...inProfiling]);
  const settings = completeSettings(profiling, defaults);
  if (onnx) {
    const model = await artifacts.get(onnx.object, signal);
    const { latency } = await profiler.network(model, settings, signal);
    return { type: "network.profiled", data: { latency } };
  }
  if (!space) throw new LatheError("INTERNAL", "profiling work without a network and a space passed its check");
  const { table, conditions } = await profiler.operators(space, settings, signal);
  return { type: "operators.profiled", data: { table, conditions } };
}
