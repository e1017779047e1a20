import { openOnnx } from "../../shared/engine/onnx";
import { relativeDifference } from "../../shared/testing/parity";
import { connect, type Bus } from "../../shared/events/bus";
import type { LatheEvent } from "../../shared/events/catalog";
import { awaitEvent, historyOnce } from "../../shared/events/history";
import { Objects } from "../../shared/events/objects";
import { publishEvent, publishWork } from "../../shared/events/publisher";
import type { Consumption } from "../../shared/events/pulls";
import { provision } from "../../shared/events/streams";
import { ARTIFACTS_BUCKET, CHECKPOINTS_BUCKET } from "../../shared/events/subjects";
import { decodeBundle, encodeBundle } from "../../shared/network/bundle";
import { buildDiscrete } from "../../shared/network/discrete";
import { networkOnnx } from "../../shared/network/export";
import { createLogger } from "../../shared/process/logger";
import { createMetrics } from "../../shared/process/metrics";
import { deployOnnx } from "../../shared/network/deploy";
import {
  DiscretizationServiceClient,
  NetworkForm,
  type ExportNetworkRequest,
} from "../../shared/proto/lathe/v1/discretization";
import {
  NetworkKept,
  NetworkTrained,
  SupernetConverged,
  type ArchitectureDerived,
} from "../../shared/proto/lathe/v1/events";
import { DatasetKind, DatasetSpec, type SearchSpec } from "../../shared/proto/lathe/v1/spec";
import { macsTable } from "../../shared/space/cost";
import { networkCosts } from "../../shared/space/networkCosts";
import { initialArchitecture } from "../../shared/space/groups";
import { resolve } from "../../shared/spec/resolve";
import { workIsDone } from "../../shared/testing/bus";
import { startNats, uniqueSearchId, type TestNats } from "../../shared/testing/nats";
import { decidedArchitecture } from "../../shared/space/decided";
import { noise, randomBuffer, randomGenotype } from "../../shared/testing/networks";
import { startRpc, type TestRpc } from "../../shared/testing/rpc";
import { uniform } from "../../shared/testing/spaces";
import { briefSpec, trainedCheckpoint } from "../../shared/testing/training";
import { consume } from "./consumer";
import { derivationMetrics } from "./metrics";
import { discretizationService } from "./rpc";
import { patience } from "../../shared/testing/until";

const logger = createLogger({ service: "test", write: () => {} });
const { spec, space } = resolve(briefSpec());
const genotype = randomGenotype(space, uniform(41));
const architecture = decidedArchitecture(space, genotype);
const binary = { kind: "checkpoint", mediaType: "application/octet-stream" };

let nats: TestNats;
let bus: Bus;
let rpc: TestRpc;
let consumption: Consumption;
let artifacts: Objects;
const metrics = derivationMetrics(createMetrics());
const engine = { engine: "onnxruntime", provider: "cpu", threads: 1 } as const;
const start = () => consume({ bus, engine, dataAccess: { folders: ["/data"] }, metrics, leaseMs: 60_000 });
beforeAll(async () => {
  nats = await startNats();
  bus = await connect({ url: nats.url, name: "discretization", logger });
  await provision(bus);
  artifacts = new Objects(bus, ARTIFACTS_BUCKET);
  rpc = await startRpc([discretizationService({ bus, engine, dataAccess: { folders: ["/data"] } })]);
  consumption = await start();
});
afterAll(async () => {
  await consumption?.stop();
  await rpc?.stop();
  await bus?.drain();
  await nats?.stop();
});

async function newSearch(): Promise<string> {
  const id = uniqueSearchId();
  await publishEvent(bus, id, { type: "search.created", data: { spec, space, specSha256: "" } });
  return id;
}

async function converged(id: string): Promise<LatheEvent> {
  const checkpoint = await new Objects(bus, CHECKPOINTS_BUCKET).put(
    `${id}/checkpoint`,
    trainedCheckpoint(space, architecture),
    binary,
  );
  return { type: "supernet.converged", data: SupernetConverged.fromPartial({ architecture, space, checkpoint }) };
}

const told = (id: string, type: string) => awaitEvent(bus, id, 0, ({ event }) => event.type === type, patience());
const names = async (id: string) => (await historyOnce(bus, id)).map(({ event }) => event.type);
const client = () => rpc.connect(DiscretizationServiceClient).api;

/** Queues a derivation, as the search service does after supernet.converged. */
const queue = (searchId: string, resumption = 0, from: SearchSpec = spec) =>
  publishWork(bus, {
    searchId,
    kind: "derive",
    data: { spec: from, costTable: macsTable(space), resumption, repair: undefined },
    ordinal: resumption,
  });

describe("a supernet that has converged", () => {
  let id: string;
  let event: ArchitectureDerived;
  beforeAll(async () => {
    id = await newSearch();
    await publishEvent(bus, id, await converged(id));
    await queue(id);
    event = (await told(id, "architecture.derived")).event.data as ArchitectureDerived;
  });

  it("is derived: the network's figures, no gap, and two files", async () => {
    expect(event).toMatchObject({
      genotype,
      discretizationGap: 0,
      figures: networkCosts(genotype, { kind: "search" }),
    });
    expect(event.supernetMiou).toBeGreaterThan(0);
    expect((await artifacts.list(`${id}/`)).sort()).toEqual([event.onnx!.object, event.weights!.object].sort());
  });

  it("is derived once: a repeated item, or an item of a cancelled search, changes nothing", async () => {
    const cancelled = await newSearch();
    await publishEvent(bus, cancelled, await converged(cancelled));
    await publishEvent(bus, cancelled, { type: "search.cancelled", data: { reason: "enough" } });
    await queue(cancelled);
    await queue(id, 1);
    await workIsDone(bus);
    expect(await names(id)).toEqual(["search.created", "supernet.converged", "architecture.derived"]);
    expect(await artifacts.list(`${id}/`)).toHaveLength(2);
    expect(await names(cancelled)).toEqual(["search.created", "supernet.converged", "search.cancelled"]);
    expect(await artifacts.list(`${cancelled}/`)).toEqual([]);
  });

  it("is not derived while its search is paused, but after the search is resumed", async () => {
    const paused = await newSearch();
    await publishEvent(bus, paused, await converged(paused));
    await publishEvent(bus, paused, { type: "search.paused", data: {} });
    await queue(paused);
    await workIsDone(bus);
    expect(await names(paused)).not.toContain("architecture.derived");
    await publishEvent(bus, paused, { type: "search.resumed", data: { resumption: 1 } });
    await queue(paused, 1);
    await told(paused, "architecture.derived");
  });

  it("that cannot be derived fails its search, with the reason", async () => {
    const broken = await newSearch();
    const data = SupernetConverged.fromPartial({ architecture, space });
    await publishEvent(bus, broken, { type: "supernet.converged", data });
    await queue(broken);
    const failed = await told(broken, "work.failed");
    expect(failed.event.data).toMatchObject({
      phase: "derive",
      reason: "WORK_INVALID",
      message: `work item ${broken}:derive:0 has no final checkpoint in its search's supernet.converged`,
    });
  });

  it("is not derived on a data set outside of the folders of its service", async () => {
    const outside = await newSearch();
    await publishEvent(bus, outside, await converged(outside));
    await queue(outside, 0, {
      ...spec,
      dataset: DatasetSpec.fromPartial({ kind: DatasetKind.DATASET_KIND_CAMVID, path: "/data/../etc" }),
    });
    expect((await told(outside, "work.failed")).event.data).toMatchObject({
      reason: "DATASET_INVALID",
      message: "camvid folder /data/../etc is outside of the folders of LATHE_DATA_FOLDER",
    });
  });

  const download = async (request: Partial<ExportNetworkRequest>): Promise<Uint8Array> => {
    const chunks: Buffer[] = [];
    const whole = { searchId: id, inputHeight: 0, inputWidth: 0, inherited: true, form: 0, ...request };
    for await (const { chunk } of client().exportNetwork(whole)) chunks.push(chunk);
    return Buffer.concat(chunks);
  };

  it("is exported as it is stored", async () => {
    const stored = await artifacts.get(event.onnx!);
    expect(Buffer.compare(await download({}), stored)).toBe(0);
    expect(Buffer.compare(await download({ inputHeight: 32, inputWidth: 64 }), stored)).toBe(0);
  });

  it("is exported at another size: the same weights and class names, another input", async () => {
    const model = await openOnnx(await download({ inputHeight: 64, inputWidth: 32 }));
    expect(model.inputs.image!.shape).toEqual([1, 3, 64, 32]);
    expect(model.outputs.logits!.shape).toEqual([1, 11, 8, 4]);
    expect(JSON.parse(model.metadata.classes ?? "[]")).toHaveLength(11);
    const { weights, stats } = decodeBundle(await artifacts.get(event.weights!), "it").arrays;
    const image = noise(3 * 64 * 32, uniform(1));
    const parameters = { weights: weights!, stats: stats! };
    const network = buildDiscrete({ ...genotype, inputHeight: 64, inputWidth: 32 }, { kind: "search" });
    const own = await openOnnx(networkOnnx(network, parameters, []));
    const [got, want] = [await model.run({ image }), await own.run({ image })];
    expect(relativeDifference(got.logits!, want.logits!)).toBe(0);
    await Promise.all([model.release(), own.release()]);
  });

  it("has its retrained network exported with the head of retraining", async () => {
    await expect(download({ inherited: false })).rejects.toMatchObject({
      code: "FAILED_PRECONDITION",
      reason: "NO_NETWORK",
      message: `search ${id} has no retrained network yet`,
    });
    const network = buildDiscrete(genotype, { kind: "aggregation", pyramidChannels: 3, dropout: 0.1 });
    const random = uniform(2);
    const arrays = { weights: randomBuffer(network.weights, random), stats: randomBuffer(network.stats, random) };
    const onnx = await artifacts.put(`${id}/network.onnx`, networkOnnx(network, arrays, ["a", "b"]), binary);
    const weights = await artifacts.put(`${id}/network.weights`, encodeBundle({ header: {}, arrays }), binary);
    const known = { classes: ["a", "b"], colors: [[1, 2, 3], [4, 5, 6]], search: id, validationMiou: 0.5 } as const; // prettier-ignore
    const stored = deployOnnx(network, arrays, { ...known, license: "CC0" });
    const deploy = await artifacts.put(`${id}/deploy.onnx`, stored, binary);
    const data = NetworkTrained.fromPartial({ onnx, weights, deploy, validationMiou: 0.5 });
    await publishEvent(bus, id, { type: "network.trained", data });
    const form = NetworkForm.NETWORK_FORM_DEPLOY;
    expect(Buffer.compare(await download({ inherited: false, form }), stored)).toBe(0);
    // At another size the stored form has the colours, and no mIoU was measured.
    const wide = buildDiscrete({ ...genotype, inputWidth: 128 }, network.head);
    const { validationMiou: _, ...rest } = known;
    const resized = await download({ inherited: false, inputWidth: 128, form });
    expect(Buffer.compare(resized, deployOnnx(wide, arrays, rest))).toBe(0);
    const model = await openOnnx(await download({ inherited: false, inputWidth: 128 }));
    expect(model.outputs.logits!.shape).toEqual([1, 11, 32, 128]);
    expect(model.metadata).toMatchObject({ head: "aggregation", classes: '["a","b"]' });
    await model.release();
  });

  it("is exported at another size where it was kept of a cancelled search", async () => {
    const cancelled = await newSearch();
    const { onnx, weights } = event;
    const data = NetworkKept.fromPartial({ phase: "train", genotype, onnx, weights });
    await publishEvent(bus, cancelled, { type: "network.kept", data });
    const model = await openOnnx(await download({ searchId: cancelled, inputWidth: 128 }));
    expect(model.inputs.image!.shape).toEqual([1, 3, 32, 128]);
    await model.release();
    const retrained = download({ searchId: cancelled, inherited: false });
    await expect(retrained).rejects.toMatchObject({ reason: "NO_NETWORK" });
  });

  it.each<[string, Partial<ExportNetworkRequest>, object]>([
    ["an unknown search", { searchId: "s-none" }, { code: "NOT_FOUND", message: 'search "s-none" does not exist' }],
    ["an invalid search id", { searchId: "a.b" }, { code: "INVALID_ARGUMENT", violations: [{ field: "search_id" }] }],
    ["a negative size", { inputHeight: -8 }, { code: "INVALID_ARGUMENT", violations: [{ field: "input_height" }] }],
    ["a size without end", { inputWidth: 8200 }, { code: "INVALID_ARGUMENT", violations: [{ field: "input_width" }] }],
    [
      "a size that strides do not divide",
      { inputHeight: 36 },
      { code: "INVALID_ARGUMENT", violations: [{ field: "input_height" }] },
    ],
  ])("refuses to export %s", async (_, request, error) => {
    await expect(download(request)).rejects.toMatchObject(error);
  });
});

describe("Discretize", () => {
  it("returns the network of an architecture, and whether the architecture has converged", async () => {
    expect(await client().discretize({ space, architecture })).toEqual({
      genotype,
      converged: true,
      figures: networkCosts(genotype, { kind: "search" }),
    });
    const { converged: ended } = await client().discretize({ space, architecture: initialArchitecture(space) });
    expect(ended).toBe(false);
  });

  it("names what is missing or wrong", async () => {
    const refused = (request: object, field: string) =>
      expect(client().discretize({ space, architecture, ...request })).rejects.toMatchObject({
        code: "INVALID_ARGUMENT",
        violations: expect.arrayContaining([expect.objectContaining({ field })]) as unknown,
      });
    await refused({ space: undefined }, "space");
    await refused({ architecture: undefined }, "architecture");
    await refused({ space: { ...space, inputHeight: 33 } }, "space.input_height");
    await refused({ architecture: { groups: architecture.groups.slice(1) } }, 'architecture.groups["stage1/depth"]');
  });
});
