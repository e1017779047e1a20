import { connect, type Bus } from "../../shared/events/bus";
import type { Consumption } from "../../shared/events/pulls";
import type { LatheEvent } from "../../shared/events/catalog";
import { awaitEvent, historyOnce } from "../../shared/events/history";
import { listSubjects } from "../../shared/events/jetstream";
import { Objects } from "../../shared/events/objects";
import { publishEvent, publishWork, subscribeProgress } from "../../shared/events/publisher";
import { provision } from "../../shared/events/streams";
import { ARTIFACTS_BUCKET } from "../../shared/events/subjects";
import { LatheError } from "../../shared/process/errors";
import { createLogger } from "../../shared/process/logger";
import { createMetrics } from "../../shared/process/metrics";
import {
  ArchitectureDerived,
  NetworkKept,
  NetworkTrained,
  ProfileWork,
  SearchCreated,
  type TrainingProgressed,
} from "../../shared/proto/lathe/v1/events";
import { LatencyServiceClient, ProfileNetworkRequest } from "../../shared/proto/lathe/v1/latency";
import type { SearchSpace } from "../../shared/proto/lathe/v1/space";
import { deployOnnx } from "../../shared/network/deploy";
import { buildDiscrete } from "../../shared/network/discrete";
import { largestGenotype } from "../../shared/space/genotype";
import { randomBuffer } from "../../shared/testing/networks";
import { uniform } from "../../shared/testing/spaces";
import { startNats, uniqueSearchId, type TestNats } from "../../shared/testing/nats";
import { startRpc, type TestRpc } from "../../shared/testing/rpc";
import { networkOnnxOf } from "./blocks";
import { availableCores } from "./cpu";
import { consume } from "./consumer";
import { listDevices } from "./devices";
import { thisMachine } from "./machine";
import { observeProfiler, type ObservedProfiler } from "./metrics";
import { References } from "./references";
import { Fragments } from "./fragments";
import { startProfiler } from "./profiler";
import { latencyService } from "./rpc";
import { defaultSettings } from "./settings";
import { PATIENCE_MS, patience, until } from "../../shared/testing/until";

const logger = createLogger({ service: "test", write: () => {} });

const space: SearchSpace = {
  inputHeight: 32,
  inputWidth: 64,
  classes: 5,
  stemChannels: 4,
  stages: [
    { channels: 8, minDepth: 1, maxDepth: 2, widths: [4, 8], dropout: 0 },
    { channels: 12, minDepth: 1, maxDepth: 1, widths: [12], dropout: 0 },
  ],
  dilations: [1],
  scales: [1, 2],
  kinds: [],
};
const defaults = defaultSettings("cpu", 1);
const cores = availableCores();
const profiling = { deviceClass: "cpu", warmupRuns: 1, timedRuns: 6, threads: 1 };
const model = networkOnnxOf(largestGenotype(space), 0);

let nats: TestNats;
let bus: Bus;
let artifacts: Objects;
let rpc: TestRpc;
let consumption: Consumption;
let profiler: ObservedProfiler;
const metrics = createMetrics();
const stopping = new AbortController();
beforeAll(async () => {
  nats = await startNats();
  bus = await connect({ url: nats.url, name: "latency", logger });
  await provision(bus);
  artifacts = new Objects(bus, ARTIFACTS_BUCKET);
  const stores = { references: new References(bus), fragments: new Fragments(bus) };
  profiler = observeProfiler(startProfiler(), stores, metrics, logger);
  const devices = await listDevices(thisMachine, { deviceClass: "cpu", provider: "cpu" }, 1);
  rpc = await startRpc([
    latencyService({ bus, profiler, artifacts, devices, defaults, cores, stopping: stopping.signal }),
  ]);
  consumption = await consume({ bus, artifacts, profiler, defaults, cores });
});
afterAll(async () => {
  await consumption?.stop();
  await rpc?.stop();
  await bus?.drain();
  await nats?.stop();
});

const created: LatheEvent = { type: "search.created", data: SearchCreated.fromPartial({ space }) };
async function newSearch(): Promise<string> {
  const id = uniqueSearchId();
  await publishEvent(bus, id, created);
  return id;
}
const queue = (searchId: string, ordinal: string, data: Parameters<typeof ProfileWork.fromPartial>[0]) =>
  publishWork(bus, { searchId, kind: "profile", deviceClass: "cpu", ordinal, data: ProfileWork.fromPartial(data) });
const told = async (searchId: string, type: LatheEvent["type"]) =>
  (await awaitEvent(bus, searchId, 0, ({ event }) => event.type === type, patience())).event;
/** Waits until a measuring process is there, and holds it, so that its measurement does not end. */
async function held(): Promise<void> {
  await until(() => profiler.pids().length === 1);
  process.kill(profiler.pids()[0] as number, "SIGSTOP");
}
const names = async (searchId: string) => (await historyOnce(bus, searchId)).map(({ event }) => event.type);
const counted = async (name: string) => (await metrics.registry.getSingleMetricAsString(name)).split("\n");

describe("the profile queue", () => {
  it("measures a stored network once, even if the measuring process is killed, and publishes the result", async () => {
    const id = await newSearch();
    const onnx = await artifacts.put(`${id}/network.onnx`, model, {
      kind: "network.onnx",
      mediaType: "application/onnx",
    });
    await queue(id, "network", { onnx, profiling });
    await until(() => profiler.pids().length === 1);
    process.kill(profiler.pids()[0] as number, "SIGKILL");
    const event = await told(id, "network.profiled");
    expect(event).toMatchObject({
      data: {
        latency: { deviceClass: "cpu", precision: "fp32", inputHeight: 32, inputWidth: 64, runs: 6, threads: 1 },
      },
    });
    await queue(id, "network-1", { onnx, profiling });
    await until(async () =>
      (await counted("nas_profiler_runs_total")).includes(
        'nas_profiler_runs_total{kind="network",outcome="skipped"} 1',
      ),
    );
    expect(await names(id)).toEqual(["search.created", "network.profiled"]);
    expect(await counted("nas_profiler_latency_seconds")).toContain(
      'nas_profiler_latency_seconds_count{device="cpu",precision="fp32"} 6',
    );
  });

  it("measures the operators of a space and publishes the table", async () => {
    const id = await newSearch();
    const progress: TrainingProgressed[] = [];
    const end = subscribeProgress(bus, id, (each) => progress.push(each));
    await queue(id, "operators", { space, profiling });
    const event = await told(id, "operators.profiled");
    end();
    if (event.type !== "operators.profiled") throw new Error(event.type);
    // Each of the models is measured twice at most: the chains, 18 networks, an empty run and the network without blocks.
    const newest = progress.at(-1);
    expect(newest).toMatchObject({ phase: "profile", step: newest?.steps });
    expect(newest?.steps).toBeGreaterThan(2 * 20);
    expect(event.data.table?.candidates.map((row) => row.id)).toEqual([
      "stage1/d1s1",
      "stage1/d1s2",
      "stage2/d1s1",
      "stage2/d1s2",
    ]);
    expect(event.data.table).toMatchObject({ device: "cpu" });
    expect(event.data).toMatchObject({ conditions: { inputWidth: 64 }, smallest: { inputWidth: 64 } });
    expect((await counted("nas_latency_model_error_ratio")).join()).toMatch(/\{device="cpu"\} \d/);
  });

  it("measures a genotype with the head of its result, once for each number", async () => {
    const id = await newSearch();
    const genotype = largestGenotype(space);
    await queue(id, "architecture-1", { genotype, pyramidChannels: 4, number: 1, profiling });
    const { data } = await told(id, "architecture.measured");
    expect(data).toMatchObject({
      number: 1,
      latency: { deviceClass: "cpu", inputHeight: 32, inputWidth: 64, runs: 6 },
    });
    await queue(id, "architecture-1-1", { genotype, pyramidChannels: 4, number: 1, profiling });
    await queue(id, "architecture-2", { genotype, pyramidChannels: 0, number: 2, profiling });
    await until(async () => (await names(id)).length === 3);
    expect(await names(id)).toEqual(["search.created", "architecture.measured", "architecture.measured"]);
  });

  it("fails work that a repetition cannot help, with a reason", async () => {
    const [gone, empty, foreign] = await Promise.all([newSearch(), newSearch(), newSearch()]);
    await queue(gone, "network", { onnx: { object: `${gone}/0/network.onnx` }, profiling });
    await queue(empty, "network", { profiling });
    await queue(foreign, "operators", {
      space: { ...space, dilations: [0] },
      profiling: { ...profiling, deviceClass: "cuda", threads: 0 },
    });
    expect(await told(gone, "work.failed")).toMatchObject({
      data: { phase: "profile", reason: "OBJECT_NOT_FOUND", deliveries: 1 },
    });
    expect(await told(empty, "work.failed")).toMatchObject({ data: { phase: "profile", reason: "WORK_INVALID" } });
    const { data } = (await told(foreign, "work.failed")) as { data: { message: string } };
    expect(data.message).toMatch(/3 faults: space\.dilations\[0\] is 0.*device_class is "cuda".*threads is 0/);
  });

  it("does not measure for a cancelled search, and stops measuring when its search is cancelled", async () => {
    const [before, during] = await Promise.all([newSearch(), newSearch()]);
    const cancelled: LatheEvent = { type: "search.cancelled", data: { reason: "test" } };
    await publishEvent(bus, before, cancelled);
    await queue(before, "operators", { space, profiling });
    const onnx = await artifacts.put(`${during}/n.onnx`, model, {
      kind: "network.onnx",
      mediaType: "application/onnx",
    });
    await queue(during, "network", { onnx, profiling });
    await held();
    await publishEvent(bus, during, cancelled);
    await until(() => profiler.pending() === 0);
    expect(await names(before)).toEqual(["search.created", "search.cancelled"]);
    expect(await names(during)).toEqual(["search.created", "search.cancelled"]);
  });
});

describe("LatencyService", () => {
  const keys = async () =>
    [...(await listSubjects(bus, "KV_MEASUREMENTS", "$KV.MEASUREMENTS.>")).keys()].filter((subject) =>
      subject.includes(".fragment."),
    );
  const client = () => rpc.connect(LatencyServiceClient).api;

  it("lists devices while a measurement runs, and ends one that its client cancels", async () => {
    const id = uniqueSearchId();
    const onnx = await artifacts.put(`${id}/n.onnx`, model, { kind: "derived.onnx", mediaType: "application/onnx" });
    await publishEvent(bus, id, { type: "architecture.derived", data: ArchitectureDerived.fromPartial({ onnx }) });
    const { object } = onnx;
    const cancel = new AbortController();
    const request = ProfileNetworkRequest.fromPartial({ searchId: id, object, profiling });
    const long = client().profileNetwork(request, { signal: cancel.signal });
    long.catch(() => {});
    await held();
    const { devices } = await client().listDevices({});
    expect(devices.map((device) => device.deviceClass)).toEqual(["cpu", "cuda", "tensorrt"]);
    expect(devices[0]).toMatchObject({ available: true, reason: "" });
    expect(profiler.pids()).toHaveLength(1);

    // A waiting call ends at its deadline.
    const late = client().profileNetwork(request, { deadlineMs: 150 });
    await expect(late).rejects.toMatchObject({ code: "DEADLINE_EXCEEDED" });
    cancel.abort();
    await expect(long).rejects.toMatchObject({ code: "CANCELLED" });
    await until(() => profiler.pending() === 0);
    const { latencies } = await client().profileNetwork(request);
    expect(latencies).toMatchObject([{ runs: 6, inputWidth: 64 }]);
  });

  it("profiles the operators of a space", async () => {
    const request = { space, profiling: undefined, pyramidChannels: 8 };
    const { table, conditions, smallest } = await client().profileOperators(request, { deadlineMs: PATIENCE_MS });
    expect(table?.candidates).toHaveLength(4);
    expect(conditions).toMatchObject({ deviceClass: "cpu", threads: 1 });
    expect(smallest).toMatchObject({ deviceClass: "cpu", threads: 1 });
    expect(smallest?.calibratedP50Seconds).toBeGreaterThan(0);
    // The second table knows the models that the first has measured: chains, and networks as far as they are the same.
    const kept = (await keys()).length;
    expect(kept).toBeGreaterThan(4);
    const again = await client().profileOperators(request, { deadlineMs: PATIENCE_MS });
    expect(await keys()).toHaveLength(kept);
    const unit = (again.table?.fixed ?? NaN) / (table?.fixed ?? NaN);
    again.table?.candidates.forEach((row, i) =>
      expect((row.byInput?.costs[0] ?? NaN) / (table?.candidates[i]?.byInput?.costs[0] ?? NaN)).toBeCloseTo(unit, 9),
    );
  });

  it("names every fault of a request", async () => {
    const refused = { code: "INVALID_ARGUMENT", reason: "INVALID_REQUEST" };
    const wrong = { deviceClass: "tensorrt", warmupRuns: -1, timedRuns: 0, threads: cores + 1 };
    await expect(
      client().profileNetwork(
        ProfileNetworkRequest.fromPartial({ searchId: "", object: "s-other/x/network.onnx", profiling: wrong }),
      ),
    ).rejects.toMatchObject({
      ...refused,
      violations: [
        { field: "search_id" },
        { field: "object" },
        { field: "profiling.device_class" },
        { field: "profiling.warmup_runs" },
        { field: "profiling.timed_runs" },
        {
          field: "profiling.threads",
          description: `is ${cores + 1}, must be at most ${cores}, the logical ${cores === 1 ? "core" : "cores"} of the device`,
        },
      ].map((violation) => expect.objectContaining(violation) as unknown),
    });
    await expect(
      client().profileOperators({ space: undefined, profiling: undefined, pyramidChannels: 0 }),
    ).rejects.toMatchObject({
      ...refused,
      violations: [{ field: "space", description: "is missing, must be the search space to measure" }],
    });
    const head = { pyramidChannels: 8, headWidths: { joined: [], pyramid: [0, 8], detail: [] } };
    await expect(
      client().profileOperators({ space: { ...space, ...head }, profiling: undefined, pyramidChannels: 4 }),
    ).rejects.toMatchObject({
      ...refused,
      violations: [
        {
          field: "pyramid_channels",
          description: "is 4, must be 8, as space.pyramid_channels says, because space.head_widths is set",
        },
      ],
    });
    const small = { ...space, classes: 1, scales: [2] };
    await expect(
      client().profileOperators({ space: small, profiling: undefined, pyramidChannels: 0 }),
    ).rejects.toMatchObject({
      ...refused,
      violations: ["space.classes", "space.scales"].map((field) => expect.objectContaining({ field }) as unknown),
    });
  });

  it("takes only ONNX networks that exist", async () => {
    const id = uniqueSearchId();
    const put = (kind: string) => artifacts.put(`${id}/g`, model, { kind, mediaType: "application/onnx" });
    const [onnx, weights, unrecorded] = [await put("derived.onnx"), await put("derived.weights"), await put("x.onnx")];
    const data = ArchitectureDerived.fromPartial({
      onnx: { ...onnx, sha256: weights.sha256.replace(/./g, "0") },
      weights,
    });
    await publishEvent(bus, id, { type: "architecture.derived", data });
    const profile = ({ object }: { object: string }) =>
      client().profileNetwork(ProfileNetworkRequest.fromPartial({ searchId: id, object, profiling }));
    await expect(profile(weights)).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      violations: [
        {
          field: "object",
          description: 'is of kind "derived.weights", must be an ONNX network such as "network.onnx"',
        },
      ],
    });
    for (const recorded of [unrecorded, { object: `${id}/nothing` }])
      await expect(profile(recorded)).rejects.toMatchObject({ code: "NOT_FOUND", reason: "ARTIFACT_NOT_FOUND" });
    await expect(profile(onnx)).rejects.toMatchObject({ code: "INTERNAL", reason: "OBJECT_CORRUPT" });
    // The network that is kept of a cancelled search.
    const kept = await put("network.onnx");
    await publishEvent(bus, id, { type: "network.kept", data: NetworkKept.fromPartial({ onnx: kept }) });
    expect((await profile(kept)).latencies[0]?.runs).toBe(profiling.timedRuns);
  });

  it("measures the deploy form at the size of the search, at another size and in batches, and names what it cannot", async () => {
    const id = uniqueSearchId();
    const genotype = largestGenotype(space);
    const network = buildDiscrete(genotype, { kind: "search" });
    const random = uniform(4);
    const parameters = { weights: randomBuffer(network.weights, random), stats: randomBuffer(network.stats, random) };
    const bytes = deployOnnx(network, parameters, { classes: [], colors: [], search: id, validationMiou: 0 });
    const mediaType = "application/onnx";
    const deploy = await artifacts.put(`${id}/deploy.onnx`, bytes, { kind: "deploy.onnx", mediaType });
    const onnx = await artifacts.put(`${id}/network.onnx`, model, { kind: "network.onnx", mediaType });
    const [derived, trained] = [
      ArchitectureDerived.fromPartial({ genotype }),
      NetworkTrained.fromPartial({ onnx, deploy }),
    ];
    await publishEvent(bus, id, { type: "architecture.derived", data: derived });
    await publishEvent(bus, id, { type: "network.trained", data: trained });
    const profile = (request: Parameters<typeof ProfileNetworkRequest.fromPartial>[0]) =>
      client().profileNetwork(ProfileNetworkRequest.fromPartial({ searchId: id, profiling, ...request }));

    const searched = { inputHeight: space.inputHeight, inputWidth: space.inputWidth };
    expect((await profile({ object: deploy.object })).latencies).toMatchObject([{ ...searched, batchSize: 1 }]);
    const larger = { inputHeight: 40, inputWidth: 72, batchSizes: [1, 2] };
    expect((await profile({ object: deploy.object, ...larger })).latencies).toMatchObject(
      larger.batchSizes.map((batchSize) => ({ inputHeight: 40, inputWidth: 72, batchSize })),
    );
    await expect(profile({ object: onnx.object, batchSizes: [4] })).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      violations: [
        { field: "object", description: expect.stringContaining("it does not take a batch of 4") as unknown },
      ],
    });
    const wrong = profile({ object: deploy.object, batchSizes: [65], inputHeight: 9000 });
    await expect(wrong).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
  });

  it("ends running calls when the service stops", async () => {
    const call = client().profileOperators({ space, profiling, pyramidChannels: 0 });
    call.catch(() => {});
    await held();
    stopping.abort(new LatheError("UNAVAILABLE", "the service is stopping", { reason: "SERVER_STOPPING" }));
    await expect(call).rejects.toMatchObject({ code: "UNAVAILABLE", reason: "SERVER_STOPPING" });
    await until(() => profiler.pids().length === 0);
  });
});
