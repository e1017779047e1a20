import type { Bus } from "../../shared/events/bus";
import type { LatheEvent } from "../../shared/events/catalog";
import { historyOnce } from "../../shared/events/history";
import type { Objects } from "../../shared/events/objects";
import { Workers } from "../../shared/events/presence";
import { isToken } from "../../shared/events/subjects";
import { invalidField, LatheError, type FieldViolation } from "../../shared/process/errors";
import { admit } from "../../shared/process/turns";
import {
  LatencyServiceService,
  type Device,
  type ProfileNetworkRequest,
  type ProfileOperatorsRequest,
} from "../../shared/proto/lathe/v1/latency";
import type { Subject } from "./network";
import type { ArtifactRef } from "../../shared/proto/lathe/v1/result";
import type { SearchSpace } from "../../shared/proto/lathe/v1/space";
import { service, type Service } from "../../shared/rpc/handlers";
import { searchedWidths } from "../../shared/space/head";
import { refuse, spaceViolations } from "../../shared/space/validate";
import type { ObservedProfiler } from "./metrics";
import { completeSettings, profilingViolations, type ProfilingSettings, type ProfilingWorker } from "./settings";

interface LatencyRpc {
  profiler: Pick<ObservedProfiler, "network" | "operators" | "pending">;
  bus: Bus;
  artifacts: Pick<Objects, "get">;
  devices: readonly Device[];
  defaults: ProfilingSettings;
  /** Logical cores of this worker. */
  cores: number;
  /** Aborts running calls when the service stops. */
  stopping: AbortSignal;
}

/** Measurements that may run or wait. Further calls are refused and may be repeated later. */
const MAX_PENDING = 32;

/** LatencyService. Calls wait for their turn until their deadline. */
export function latencyService(options: LatencyRpc): Service {
  const { bus, profiler, artifacts, devices, defaults, cores, stopping } = options;
  const workers = new Workers(bus);
  const own = { deviceClass: defaults.deviceClass, cores };
  const admitMeasurement = () => admit(profiler.pending(), MAX_PENDING, "measurements", "PROFILER_BUSY");
  return service(LatencyServiceService, {
    profileNetwork: async (request, { signal: call }) => {
      refuse("INVALID_REQUEST", "request", networkViolations(request, own));
      admitMeasurement();
      const signal = AbortSignal.any([call, stopping]);
      const events = (await historyOnce(bus, request.searchId, 0, signal)).map(({ event }) => event);
      const recorded = recordedArtifact(events, request);
      const isModel = recorded.kind.endsWith(".onnx");
      refuse("INVALID_REQUEST", "request", isModel ? [] : [{ field: "object", description: notModel(recorded.kind) }]);
      const model = await artifacts.get(recorded, signal);
      const subject = { model, ...askedOf(request, recorded.kind, events) };
      const settings = completeSettings(request.profiling, defaults);
      return { latencies: await profiler.network(subject, settings, signal).catch(namingObject) };
    },
    profileOperators: async (request, { signal: call }) => {
      const space = checkedSpace(request, own);
      admitMeasurement();
      const settings = completeSettings(request.profiling, defaults);
      const operators = { space, pyramidChannels: request.pyramidChannels };
      return profiler.operators(operators, settings, AbortSignal.any([call, stopping]));
    },
    listDevices: async () => ({ devices: [...devices], workers: await workers.alive() }),
  });
}

/** The size and batches to measure at. A network for images of any size is measured at the size of the search by default. */
function askedOf(
  { inputHeight, inputWidth, batchSizes }: ProfileNetworkRequest,
  kind: string,
  events: readonly LatheEvent[],
): Omit<Subject, "model"> {
  const isAsked = inputHeight > 0 || inputWidth > 0;
  const searched = events.flatMap(({ type, data }) => (type === "architecture.derived" ? [data.genotype] : []))[0];
  const size =
    isAsked || kind === "deploy.onnx"
      ? { height: inputHeight || (searched?.inputHeight ?? 0), width: inputWidth || (searched?.inputWidth ?? 0) }
      : undefined;
  return { size, batchSizes: batchSizes.length > 0 ? batchSizes : [1] };
}

/** A network that cannot be measured as asked is a fault of the request's object. */
function namingObject(thrown: unknown): never {
  const error = LatheError.from(thrown);
  if (error.code !== "INVALID_ARGUMENT" || error.violations.length > 0) throw error;
  throw invalidField("object", `cannot be measured as asked: ${error.message}`);
}

/** The reference of an artifact in the events of its search; NOT_FOUND where no event names it. */
function recordedArtifact(
  events: readonly LatheEvent[],
  { searchId, object }: Pick<ProfileNetworkRequest, "searchId" | "object">,
): ArtifactRef {
  const artifacts = events.flatMap((event) => {
    if (event.type === "architecture.derived" || event.type === "architecture.repaired")
      return [event.data.onnx, event.data.weights];
    if (event.type === "network.kept") return [event.data.onnx, event.data.weights, event.data.deploy];
    return event.type === "network.trained"
      ? [event.data.onnx, event.data.weights, event.data.deploy, ...event.data.predictions, event.data.confusion]
      : [];
  });
  const recorded = artifacts.find((artifact) => artifact?.object === object);
  if (recorded) return recorded;
  throw new LatheError("NOT_FOUND", `search ${searchId} has no artifact "${object.slice(0, 200)}"`, {
    reason: "ARTIFACT_NOT_FOUND",
  });
}

const notModel = (kind: string) => `is of kind "${kind}", must be an ONNX network such as "network.onnx"`;

function networkViolations(
  { searchId, object, profiling }: ProfileNetworkRequest,
  own: ProfilingWorker,
): FieldViolation[] {
  const violations: FieldViolation[] = [];
  if (!isToken(searchId))
    violations.push({ field: "search_id", description: `is "${searchId}", must be the id of a search` });
  if (object === "" || !object.startsWith(`${searchId}/`))
    violations.push({ field: "object", description: `is "${object}", must be an object of search "${searchId}"` });
  return [...violations, ...profilingViolations(profiling, own, "profiling.")];
}

function checkedSpace(
  { space, profiling, pyramidChannels }: ProfileOperatorsRequest,
  own: ProfilingWorker,
): SearchSpace {
  const inSpace = space
    ? spaceViolations(space, "space.")
    : [{ field: "space", description: "is missing, must be the search space to measure" }];
  const violations = [...inSpace, ...profilingViolations(profiling, own, "profiling.")];
  const headed = space?.pyramidChannels ?? 0;
  if (space && searchedWidths(space).length > 0 && pyramidChannels !== headed)
    violations.push({
      field: "pyramid_channels",
      description: `is ${pyramidChannels ?? 0}, must be ${headed}, as space.pyramid_channels says, because space.head_widths is set`,
    });
  refuse("INVALID_REQUEST", "request", violations);
  return space as SearchSpace;
}
