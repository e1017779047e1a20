import type { Bus } from "../../shared/events/bus";
import type { LatheEvent } from "../../shared/events/catalog";
import type { Objects } from "../../shared/events/objects";
import { publishEvent } from "../../shared/events/publisher";
import type { Consumption } from "../../shared/events/pulls";
import { consumeWork } from "../../shared/events/searchWork";
import type { Over } from "../../shared/events/standing";
import type { WorkItem } from "../../shared/events/work";
import { LatheError } from "../../shared/process/errors";
import type { ProfileWork } from "../../shared/proto/lathe/v1/events";
import { refuse, spaceViolations } from "../../shared/space/validate";
import type { ObservedProfiler, ProfileKind } from "./metrics";
import { completeSettings, profilingViolations, type ProfilingSettings } from "./settings";

interface LatencyConsumer {
  bus: Bus;
  artifacts: Pick<Objects, "get">;
  profiler: Pick<ObservedProfiler, "network" | "operators" | "skipped" | "free">;
  defaults: ProfilingSettings;
  /** Logical cores of this worker. */
  cores: number;
  /** Silence after which this worker counts as dead, in ms; a minute by default. */
  leaseMs?: number;
}

/** Takes the `profile` items of this device class one at a time, and publishes the measurements. */
export function consume(options: LatencyConsumer): Promise<Consumption> {
  const { bus, profiler, defaults, leaseMs } = options;
  return consumeWork(bus, {
    queues: [{ kind: "profile", deviceClass: defaults.deviceClass }],
    over: (work) => OVER[kindOf(work)],
    handler: async ({ searchId, data }, { signal, held }) => {
      const event = await measure(data, options, signal);
      await publishEvent(bus, searchId, event, { signal: held });
    },
    free: (signal) => profiler.free(signal),
    onUnwanted: (work) => profiler.skipped(kindOf(work)),
    ...(leaseMs !== undefined && { ackWaitMs: leaseMs }),
  });
}

const OVER: Record<ProfileKind, Over> = {
  network: { "network.profiled": "the network is measured" },
  operators: { "operators.profiled": "the operators are measured" },
};

const kindOf = ({ data }: WorkItem<"profile">): ProfileKind => (data.onnx ? "network" : "operators");

async function measure(
  { onnx, space, profiling }: ProfileWork,
  { artifacts, profiler, defaults, cores }: LatencyConsumer,
  signal: AbortSignal,
): Promise<LatheEvent> {
  const subject =
    onnx || space ? [] : [{ field: "onnx", description: "is missing, and so is space: nothing to measure" }];
  const inSpace = space && !onnx ? spaceViolations(space, "space.") : [];
  const inProfiling = profilingViolations(profiling, { deviceClass: defaults.deviceClass, cores }, "profiling.");
  refuse("WORK_INVALID", "profiling work", [...subject, ...inSpace, ...inProfiling]);
  const settings = completeSettings(profiling, defaults);
  if (onnx) {
    const model = await artifacts.get(onnx, signal);
    const [latency] = await profiler.network({ model, size: undefined, batchSizes: [1] }, settings, signal);
    return { type: "network.profiled", data: { latency } };
  }
  if (!space) throw new LatheError("INTERNAL", "profiling work without a network and a space passed its check");
  const { table, conditions } = await profiler.operators(space, settings, signal);
  return { type: "operators.profiled", data: { table, conditions } };
}
