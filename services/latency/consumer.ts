import type { Bus } from "../../shared/events/bus";
import type { LatheEvent } from "../../shared/events/catalog";
import type { Objects } from "../../shared/events/objects";
import { publishEvent, publishProgress } from "../../shared/events/publisher";
import type { Consumption } from "../../shared/events/pulls";
import { consumeWork } from "../../shared/events/searchWork";
import type { Over } from "../../shared/events/standing";
import type { WorkItem } from "../../shared/events/work";
import { LatheError } from "../../shared/process/errors";
import { TrainingProgressed, type ProfileWork } from "../../shared/proto/lathe/v1/events";
import { genotypeViolations } from "../../shared/space/genotype";
import { refuse, spaceViolations } from "../../shared/space/validate";
import type { ObservedProfiler, ProfileKind } from "./metrics";
import type { Subject } from "./network";
import { MOST } from "./repetition";
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
    over: overOf,
    handler: async ({ searchId, data }, { signal, held }) => {
      const progress = (step: number, steps: number) =>
        publishProgress(bus, searchId, TrainingProgressed.fromPartial({ phase: "profile", step, steps }));
      const event = await measure(data, options, signal, progress);
      await publishEvent(bus, searchId, event, { signal: held });
    },
    free: (signal) => profiler.free(signal),
    onUnwanted: (work) => profiler.skipped(kindOf(work)),
    ...(leaseMs !== undefined && { ackWaitMs: leaseMs }),
  });
}

function overOf({ data: { onnx, space, number } }: WorkItem<"profile">): Over {
  if (onnx) return { "network.profiled": "the network is measured" };
  if (space) return { "operators.profiled": "the operators are measured" };
  return { "architecture.measured": { why: `network ${number} is measured`, from: number } };
}

const kindOf = ({ data }: WorkItem<"profile">): ProfileKind => (data.space ? "operators" : "network");

async function measure(
  { onnx, space, genotype, number, pyramidChannels, profiling, unit }: ProfileWork,
  { artifacts, profiler, defaults, cores }: LatencyConsumer,
  signal: AbortSignal,
  progress: (step: number, steps: number) => void,
): Promise<LatheEvent> {
  const subject =
    onnx || space || genotype
      ? []
      : [{ field: "onnx", description: "is missing, and so are space and genotype: nothing to measure" }];
  const inSpace = space && !onnx ? spaceViolations(space, "space.") : [];
  const inGenotype = genotype && !onnx && !space ? genotypeViolations(genotype, "genotype.") : [];
  const inProfiling = profilingViolations(profiling, { deviceClass: defaults.deviceClass, cores }, "profiling.");
  refuse("WORK_INVALID", "profiling work", [...subject, ...inSpace, ...inGenotype, ...inProfiling]);
  const settings = completeSettings(profiling, defaults);
  const network = async (model: Subject["model"]) => {
    // The network of a search for MACs, whose cost table has no unit, decides nothing any more.
    const repeated = onnx && !unit ? MOST.told : MOST.held;
    const subject = { model, size: undefined, batchSizes: [1], repeated };
    const [latency] = await profiler.network(subject, settings, signal, unit);
    return latency;
  };
  if (onnx) return { type: "network.profiled", data: { latency: await network(await artifacts.get(onnx, signal)) } };
  if (space) {
    return {
      type: "operators.profiled",
      data: await profiler.operators({ space, pyramidChannels }, settings, signal, progress),
    };
  }
  if (!genotype) throw new LatheError("INTERNAL", "profiling work without a subject passed its check");
  const latency = await network({ genotype, pyramidChannels });
  return { type: "architecture.measured", data: { number, latency } };
}
