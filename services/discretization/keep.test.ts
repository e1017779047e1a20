import { readFileSync } from "node:fs";
import { openOnnx } from "../../shared/engine/onnx";
import { connect, type Bus } from "../../shared/events/bus";
import type { LatheEvent } from "../../shared/events/catalog";
import { awaitEvent, historyOnce } from "../../shared/events/history";
import { Objects } from "../../shared/events/objects";
import { publishEvent, publishWork } from "../../shared/events/publisher";
import type { Consumption } from "../../shared/events/pulls";
import { purgeSearch } from "../../shared/events/purge";
import { provision } from "../../shared/events/streams";
import { ARTIFACTS_BUCKET, CHECKPOINTS_BUCKET } from "../../shared/events/subjects";
import { decodeBundle } from "../../shared/network/bundle";
import { buildDiscrete } from "../../shared/network/discrete";
import { encodeTraining, type RandomRecord, type RetrainingRecord } from "../../shared/network/training";
import { createMetrics } from "../../shared/process/metrics";
import {
  ArchitectureDerived,
  CandidateEvaluated,
  EpochCompleted,
  NetworkTrained,
  RetrainingEpochCompleted,
  SamplingEpochCompleted,
  SupernetConverged,
  type NetworkKept,
} from "../../shared/proto/lathe/v1/events";
import { DatasetFigures, DecidedBy, SplitFigures, type ArtifactRef } from "../../shared/proto/lathe/v1/result";
import { macsTable } from "../../shared/space/cost";
import { derive } from "../../shared/space/genotype";
import { initialArchitecture } from "../../shared/space/groups";
import { networkCosts } from "../../shared/space/networkCosts";
import { resolve } from "../../shared/spec/resolve";
import { quiet, workIsDone } from "../../shared/testing/bus";
import { startNats, uniqueSearchId, type TestNats } from "../../shared/testing/nats";
import { decidedArchitecture } from "../../shared/space/decided";
import { randomBuffer, randomGenotype } from "../../shared/testing/networks";
import { childrenOf, isAlive } from "../../shared/testing/processes";
import { onnxMiou } from "../../shared/testing/score";
import { uniform } from "../../shared/testing/spaces";
import { briefSpec, trainedCheckpoint } from "../../shared/testing/training";
import { patience, until } from "../../shared/testing/until";
import { consume } from "./consumer";
import { derivationMetrics } from "./metrics";

const { spec, space } = resolve(briefSpec());
const open = initialArchitecture(space);
const genotype = randomGenotype(space, uniform(41));
const { pyramidChannels, dropout } = spec.retraining;
const aggregation = { kind: "aggregation", pyramidChannels, dropout } as const;

let nats: TestNats;
let bus: Bus;
let consumption: Consumption;
let artifacts: Objects;
let checkpoints: Objects;
const engine = { engine: "onnxruntime", provider: "cpu", threads: 1 } as const;
beforeAll(async () => {
  nats = await startNats();
  bus = await connect({ url: nats.url, name: "discretization", logger: quiet });
  await provision(bus);
  artifacts = new Objects(bus, ARTIFACTS_BUCKET);
  checkpoints = new Objects(bus, CHECKPOINTS_BUCKET);
  const metrics = derivationMetrics(createMetrics());
  consumption = await consume({ bus, engine, metrics, leaseMs: 60_000 });
});
afterAll(async () => {
  await consumption?.stop();
  await bus?.drain();
  await nats?.stop();
});

const store = (id: string, bytes: Uint8Array): Promise<ArtifactRef> =>
  checkpoints.put(`${id}/checkpoint`, bytes, { kind: "checkpoint", mediaType: "application/octet-stream" });
const cancelled: LatheEvent = { type: "search.cancelled", data: { reason: "enough" } };
const names = async (id: string) => (await historyOnce(bus, id)).map(({ event }) => event.type);

/** Queues the work of a cancelled search, as the search service does. */
const queue = (searchId: string, ordinal = "cancelled") =>
  publishWork(bus, { searchId, kind: "keep", data: { spec, costTable: macsTable(space) }, ordinal });

/** A cancelled search with these events before its cancellation. */
async function cancelledSearch(events: (id: string) => Promise<LatheEvent[]>): Promise<string> {
  const id = uniqueSearchId();
  await publishEvent(bus, id, { type: "search.created", data: { spec, space, specSha256: "" } });
  for (const event of [...(await events(id)), cancelled]) await publishEvent(bus, id, event, { apart: true });
  await queue(id);
  return id;
}

async function kept(id: string): Promise<NetworkKept> {
  const { event } = await awaitEvent(bus, id, 0, ({ event: { type } }) => type === "network.kept", patience());
  return event.data as NetworkKept;
}

const epoch = async (id: string, number: number, architecture = open): Promise<LatheEvent> => ({
  type: "epoch.completed",
  data: EpochCompleted.fromPartial({
    metrics: { epoch: number, epochs: 3 },
    architecture,
    space,
    checkpoint: await store(id, trainedCheckpoint(space, architecture, number)),
  }),
});

/** Parameters of a network with random values. */
function parametersOf(head: Parameters<typeof buildDiscrete>[1], seed: number) {
  const network = buildDiscrete(genotype, head);
  const random = uniform(seed);
  return { weights: randomBuffer(network.weights, random), stats: randomBuffer(network.stats, random) };
}
const inTraining = (parameters: ReturnType<typeof parametersOf>) => ({
  ...parameters,
  m: new Float32Array(parameters.weights.length),
  v: new Float32Array(parameters.weights.length),
});

/** Process ids of the child processes that keep or derive a network and already run their own program. */
const keepers = () =>
  childrenOf(process.pid).filter((pid) => {
    try {
      return /discretization.*worker/.test(readFileSync(`/proc/${pid}/cmdline`, "utf8"));
    } catch {
      // The process has ended since.
      return false;
    }
  });
async function killKeeper(): Promise<void> {
  const [pid] = await until(keepers, (pids) => pids.length > 0);
  process.kill(pid!, "SIGKILL");
  await until(() => !isAlive(pid!));
}

describe("of a search that was cancelled, the keeper", () => {
  it("cuts the argmax out of the newest epoch, exports it, and records the mIoU that the file has", async () => {
    const id = await cancelledSearch(async (search) => [await epoch(search, 1), await epoch(search, 2)]);
    const event = await kept(id);
    expect(event).toMatchObject({
      ...{ phase: "train", epoch: 2, genotype: derive(space, open).genotype, reason: "" },
      decidedBy: DecidedBy.DECIDED_BY_ARGMAX,
      figures: networkCosts(derive(space, open).genotype, { kind: "search" }),
      message: expect.stringMatching(
        /^the argmax of the supernet after epoch 2 of 3, at \d+\.\d mIoU points$/,
      ) as string,
    });
    expect(event.supernetMiou).toBeGreaterThan(0);
    expect((await artifacts.list(`${id}/`)).sort()).toEqual([event.onnx!.object, event.weights!.object].sort());
    expect(await onnxMiou(await artifacts.get(event.onnx!), spec, event.genotype!)).toBeCloseTo(
      event.validationMiou,
      6,
    );
  });

  it("says that the data it evaluates on is not that of the first epoch", async () => {
    const read = (sha256: string): Partial<DatasetFigures> => ({
      sha256,
      validation: SplitFigures.fromPartial({ sha256 }),
    });
    const id = await cancelledSearch(async (search) => {
      const first = await epoch(search, 1);
      Object.assign(first.data, { dataset: DatasetFigures.fromPartial(read("ab".repeat(32))) });
      return [first];
    });
    const { dataChange, phase } = await kept(id);
    expect(phase).toBe("train");
    expect(dataChange).toMatch(
      /^the validation data is not that of the search \(fingerprint abababababab, now [0-9a-f]{12}\): /,
    );
  });

  it("cuts the network out of the trained supernet while deriving", async () => {
    const architecture = decidedArchitecture(space, genotype);
    const id = await cancelledSearch(async (search) => {
      const checkpoint = await store(search, trainedCheckpoint(space, architecture));
      const decidedBy = DecidedBy.DECIDED_BY_SHRINKING;
      const data = SupernetConverged.fromPartial({ architecture, space, checkpoint, decidedBy, epochs: 3 });
      return [await epoch(search, 1), { type: "supernet.converged", data }];
    });
    expect(await kept(id)).toMatchObject({ phase: "derive", genotype, decidedBy: DecidedBy.DECIDED_BY_SHRINKING });
  });

  it("takes the best epoch out of the newest checkpoint of retraining, with the head of retraining", async () => {
    const best = parametersOf(aggregation, 1);
    const header: RetrainingRecord = { epoch: 5, steps: 20, bestMiou: 0.25, bestEpoch: 3, seconds: 1 };
    const id = await cancelledSearch(async (search) => {
      const bytes = encodeTraining(header, inTraining(parametersOf(aggregation, 2)), best);
      const data = { epoch: 5, epochs: 9, checkpoint: await store(search, bytes) };
      return [
        { type: "architecture.derived", data: ArchitectureDerived.fromPartial({ genotype }) },
        {
          type: "retraining.epoch.completed",
          data: RetrainingEpochCompleted.fromPartial({ epoch: 3, miouClasses: 4 }),
        },
        { type: "retraining.epoch.completed", data: RetrainingEpochCompleted.fromPartial(data) },
      ];
    });
    const event = await kept(id);
    expect(event).toMatchObject({
      ...{ phase: "retrain", epoch: 3, genotype, validationMiou: 0.25, miouClasses: 4 },
      ...{
        figures: networkCosts(genotype, aggregation),
        onnx: { kind: "network.onnx" },
        deploy: { kind: "deploy.onnx" },
      },
      message: "the best evaluated of the first 5 of 9 epochs of retraining: epoch 3, at 25.0 mIoU points",
    });
    expect(decodeBundle(await artifacts.get(event.weights!), "it").arrays).toEqual(best);
    const model = await openOnnx(await artifacts.get(event.onnx!));
    expect(model.metadata).toMatchObject({ head: "aggregation" });
    expect(JSON.parse(model.metadata.classes ?? "[]")).toContain("road");
    await model.release();
  });

  it("takes the best network of algorithm random out of its last checkpoint, whichever of the others is trained last", async () => {
    const [weights, others] = [parametersOf({ kind: "search" }, 3), parametersOf({ kind: "search" }, 4)];
    const bytes = (parameters: typeof weights, number: number) => {
      const header: RandomRecord = { candidate: number, epoch: 1, steps: 4, seconds: 1 };
      return encodeTraining(header, inTraining(parameters));
    };
    const id = await cancelledSearch(async (search) => [
      { type: "sampling.epoch.completed", data: sampling(2, await store(search, bytes(others, 2))) },
      candidate(2, 0.3),
      { type: "sampling.epoch.completed", data: sampling(1, await store(search, bytes(weights, 1))) },
      candidate(1, 0.3),
      { type: "sampling.epoch.completed", data: sampling(3, await store(search, bytes(others, 3))) },
    ]);
    const event = await kept(id);
    expect(event).toMatchObject({
      ...{ phase: "train", epoch: 1, genotype, validationMiou: 0.3, decidedBy: DecidedBy.DECIDED_BY_SELECTION },
      message: "network 1, the best of 2 evaluated of 4, at 30.0 mIoU points",
    });
    expect(decodeBundle(await artifacts.get(event.weights!), "it").arrays).toEqual(weights);
  });

  it("names the best genotype of algorithm evolution, whose networks have no weights of their own", async () => {
    const id = await cancelledSearch(async (search) => [
      { type: "sampling.epoch.completed", data: sampling(0, await store(search, new Uint8Array(8))) },
      candidate(1, 0.2),
      candidate(2, 0.4),
    ]);
    expect(await kept(id)).toMatchObject({
      ...{ phase: "train", epoch: 2, genotype, onnx: undefined, weights: undefined },
      message: "network 2, the best of 2 evaluated of 4, at 40.0 mIoU points; its weights are not kept",
    });
  });

  it("names the files of a network that was finished before", async () => {
    const id = await cancelledSearch(async (search) => {
      const [onnx, weights] = [await store(search, new Uint8Array(8)), await store(search, new Uint8Array(9))];
      const figures = { onnx, weights, validationMiou: 0.5, bestEpoch: 2 };
      return [
        { type: "architecture.derived", data: ArchitectureDerived.fromPartial({ genotype }) },
        { type: "network.trained", data: NetworkTrained.fromPartial(figures) },
      ];
    });
    const trained = (await historyOnce(bus, id)).find(({ event }) => event.type === "network.trained");
    const { onnx, weights } = trained!.event.data as NetworkTrained;
    expect(await kept(id)).toMatchObject({ phase: "retrain", epoch: 2, genotype, onnx, weights });
  });

  it("says why nothing can be kept, and fails no search", async () => {
    const nothing = await cancelledSearch(() => Promise.resolve([]));
    const gone = await cancelledSearch(async (search) => {
      const last = await epoch(search, 1);
      await checkpoints.deleteAll(search);
      return [last];
    });
    expect(await kept(nothing)).toMatchObject({ reason: "NOT_TRAINED", genotype: undefined });
    expect(await kept(gone)).toMatchObject({
      ...{ reason: "OBJECT_NOT_FOUND", genotype: undefined },
      message: expect.stringMatching(
        /^the network so far could not be kept: object CHECKPOINTS\/.* does not exist$/,
      ) as string,
    });
    for (const id of [nothing, gone]) expect(await names(id)).not.toContain("work.failed");
  });
});

const candidate = (index: number, validationMiou: number): LatheEvent => ({
  type: "candidate.evaluated",
  data: CandidateEvaluated.fromPartial({ index, candidates: 4, genotype, validationMiou }),
});
const sampling = (number: number, checkpoint: ArtifactRef) =>
  SamplingEpochCompleted.fromPartial({ epoch: number || 1, epochs: 4, candidate: number, checkpoint });

describe("a network that is kept", () => {
  const one = async (id: string) => [await epoch(id, 1)];
  const files = async (id: string) => {
    const { onnx, weights } = await kept(id);
    return [onnx!.sha256, weights!.sha256];
  };

  it("is the same, and is kept once, although its keeper is killed and the item comes again", async () => {
    const undisturbed = await files(await cancelledSearch(one));
    const id = await cancelledSearch(one);
    await killKeeper();
    expect(await files(id)).toEqual(undisturbed);
    await queue(id, "again");
    await workIsDone(bus);
    expect(await names(id)).toEqual(["search.created", "epoch.completed", "search.cancelled", "network.kept"]);
    expect(await artifacts.list(`${id}/`)).toHaveLength(2);
  });

  it("is given up by name where its keeper dies each time", async () => {
    const id = await cancelledSearch(one);
    for (let attempt = 1; attempt <= 3; attempt++) await killKeeper();
    expect(await kept(id)).toMatchObject({ reason: "WORKER_DIED", genotype: undefined });
    expect(await names(id)).not.toContain("work.failed");
  });

  it("is kept although a worker that stops reports the failure of what was cancelled", async () => {
    const id = await cancelledSearch(one);
    await until(keepers, (pids) => pids.length > 0);
    const data = { phase: "train", reason: "WORKER_DIED", message: "it died", deliveries: 3, resumption: 0 };
    await publishEvent(bus, id, { type: "work.failed", data });
    expect(await kept(id)).toMatchObject({ phase: "train", reason: "" });
  });

  it("leaves nothing where its search is deleted meanwhile", async () => {
    const id = await cancelledSearch(one);
    const [pid] = await until(keepers, (pids) => pids.length > 0);
    process.kill(pid!, "SIGSTOP");
    await purgeSearch(bus, id);
    await until(() => !isAlive(pid!));
    await workIsDone(bus);
    // The keeper takes another item only after it has left this one.
    await kept(await cancelledSearch(one));
    expect(await historyOnce(bus, id)).toEqual([]);
    expect(await artifacts.list(`${id}/`)).toEqual([]);
  });
});
