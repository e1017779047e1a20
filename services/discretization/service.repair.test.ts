import { connect, type Bus } from "../../shared/events/bus";
import { awaitEvent, historyOnce } from "../../shared/events/history";
import { Objects } from "../../shared/events/objects";
import { publishEvent, publishWork } from "../../shared/events/publisher";
import type { Consumption } from "../../shared/events/pulls";
import { provision } from "../../shared/events/streams";
import { ARTIFACTS_BUCKET, CHECKPOINTS_BUCKET } from "../../shared/events/subjects";
import { onnxMetadata } from "../../shared/engine/onnx";
import { decodeBundle } from "../../shared/network/bundle";
import { buildDiscrete } from "../../shared/network/discrete";
import { createLogger } from "../../shared/process/logger";
import { createMetrics } from "../../shared/process/metrics";
import { DiscretizationServiceClient } from "../../shared/proto/lathe/v1/discretization";
import {
  SupernetConverged,
  type ArchitectureDerived,
  type ArchitectureRepaired,
  type NetworkKept,
} from "../../shared/proto/lathe/v1/events";
import { costOfLargest, genotypeCost, macsTable } from "../../shared/space/cost";
import { isMember, largestGenotype } from "../../shared/space/genotype";
import { networkCosts } from "../../shared/space/networkCosts";
import { resolve } from "../../shared/spec/resolve";
import { workIsDone } from "../../shared/testing/bus";
import { startNats, uniqueSearchId, type TestNats } from "../../shared/testing/nats";
import { decidedArchitecture } from "../../shared/testing/networks";
import { startRpc, type TestRpc } from "../../shared/testing/rpc";
import { briefSpec, trainedCheckpoint } from "../../shared/testing/training";
import { patience } from "../../shared/testing/until";
import { consume } from "./consumer";
import { derivationMetrics } from "./metrics";
import { differencesOf } from "./repair/changes";
import { discretizationService } from "./rpc";

const logger = createLogger({ service: "test", write: () => {} });
const { spec, space } = resolve(briefSpec());
const largest = largestGenotype(space);
const table = macsTable(space);
const cost = genotypeCost(largest, table);
const engine = { engine: "onnxruntime", provider: "cpu", threads: 1 } as const;

let nats: TestNats;
let bus: Bus;
let rpc: TestRpc;
let consumption: Consumption;
let artifacts: Objects;
beforeAll(async () => {
  nats = await startNats();
  bus = await connect({ url: nats.url, name: "discretization", logger });
  await provision(bus);
  artifacts = new Objects(bus, ARTIFACTS_BUCKET);
  rpc = await startRpc([discretizationService({ bus, engine })]);
  const metrics = derivationMetrics(createMetrics());
  consumption = await consume({ bus, engine, metrics, leaseMs: 60_000 });
});
afterAll(async () => {
  await consumption?.stop();
  await rpc?.stop();
  await bus?.drain();
  await nats?.stop();
});

async function told<T>(id: string, type: string): Promise<T> {
  return (await awaitEvent(bus, id, 0, ({ event }) => event.type === type, patience())).event.data as T;
}

/** A search whose derived network is the largest of its space. */
async function derived(): Promise<{ id: string; event: ArchitectureDerived }> {
  const id = uniqueSearchId();
  await publishEvent(bus, id, { type: "search.created", data: { spec, space, specSha256: "" } });
  const architecture = decidedArchitecture(space, largest);
  const binary = { kind: "checkpoint", mediaType: "application/octet-stream" };
  const held = new Objects(bus, CHECKPOINTS_BUCKET);
  const checkpoint = await held.put(`${id}/checkpoint`, trainedCheckpoint(space, architecture), binary);
  const data = SupernetConverged.fromPartial({ architecture, space, checkpoint });
  await publishEvent(bus, id, { type: "supernet.converged", data });
  await queue(id, 0);
  return { id, event: await told(id, "architecture.derived") };
}

/** Queues a derivation, or a repair of this number that aims at a share of the network's measured latency. */
const queue = (searchId: string, number: number, share = 1) =>
  publishWork(bus, {
    ...{ searchId, kind: "derive", ordinal: number === 0 ? 0 : `repair-${number}-0` },
    data: {
      ...{ spec, costTable: table, resumption: 0 },
      // The table predicts its own unit; the measurement took a tenth more.
      repair:
        number === 0
          ? undefined
          : { number, targetSeconds: 1.1 * share * cost, predictedSeconds: cost, measuredSeconds: 1.1 * cost },
    },
  });

describe("a derived network that misses its latency", () => {
  it("is changed to a network of the space nearer to it, stored, exported, and kept where its search is cancelled", async () => {
    const { id, event } = await derived();
    await queue(id, 1, 0.9);
    const repaired = await told<ArchitectureRepaired>(id, "architecture.repaired");
    const { genotype, changes, costRatio, miouBefore, onnx, weights } = repaired;
    expect(isMember(space, genotype!)).toBe(true);
    expect(changes.length).toBeGreaterThan(0);
    expect(changes).toEqual(differencesOf(largest, genotype!));
    expect(costRatio).toBeCloseTo(genotypeCost(genotype!, table) / costOfLargest(space, table), 12);
    expect(Math.abs(genotypeCost(genotype!, table) / cost - 0.9)).toBeLessThan(0.05);
    expect(repaired).toMatchObject({ number: 1, figures: networkCosts(genotype!, { kind: "search" }) });
    expect(miouBefore).toBe(event.discreteMiou);
    const bundle = decodeBundle(await artifacts.get(weights!), "it").arrays;
    const network = buildDiscrete(genotype!, { kind: "search" });
    expect([bundle.weights?.length, bundle.stats?.length]).toEqual([network.weights.size, network.stats.size]);
    // The network before the repair stays.
    expect(onnxMetadata(await artifacts.get(event.onnx!)).head).toBe("search");

    const chunks: Buffer[] = [];
    const whole = { searchId: id, inputHeight: 0, inputWidth: 0, inherited: true, form: 0 };
    for await (const { chunk } of rpc.connect(DiscretizationServiceClient).api.exportNetwork(whole)) chunks.push(chunk);
    expect(Buffer.compare(Buffer.concat(chunks), await artifacts.get(onnx!))).toBe(0);

    await publishEvent(bus, id, { type: "search.cancelled", data: { reason: "" } });
    const keep = { searchId: id, kind: "keep", ordinal: "cancelled", data: { spec, costTable: table } } as const;
    await publishWork(bus, keep);
    expect(await told<NetworkKept>(id, "network.kept")).toMatchObject({ genotype, onnx, weights, costRatio });
  });

  it("is repaired once for each number, each time from the newest network", async () => {
    const { id } = await derived();
    await queue(id, 1, 0.9);
    const first = await told<ArchitectureRepaired>(id, "architecture.repaired");
    await publishWork(bus, {
      ...{ searchId: id, kind: "derive", ordinal: "repair-1-1" },
      data: {
        ...{ spec, costTable: table, resumption: 0 },
        repair: { number: 1, targetSeconds: 1, predictedSeconds: 1, measuredSeconds: 2 },
      },
    });
    const predictedSeconds = genotypeCost(first.genotype!, table);
    await publishWork(bus, {
      ...{ searchId: id, kind: "derive", ordinal: "repair-2-0" },
      data: {
        ...{ spec, costTable: table, resumption: 0 },
        repair: { number: 2, targetSeconds: cost, predictedSeconds, measuredSeconds: predictedSeconds },
      },
    });
    await workIsDone(bus);
    const repairs = (await historyOnce(bus, id)).flatMap(({ event }) =>
      event.type === "architecture.repaired" ? [event.data] : [],
    );
    expect(repairs.map(({ number }) => number)).toEqual([1, 2]);
    expect(repairs[1]?.changes).toEqual(differencesOf(first.genotype!, repairs[1]!.genotype!));
    expect(genotypeCost(repairs[1]!.genotype!, table)).toBeGreaterThan(predictedSeconds);
  });

  it("stays as it is where no network of the space is nearer", async () => {
    const { id } = await derived();
    await queue(id, 1, 3);
    const { changes, genotype, onnx } = await told<ArchitectureRepaired>(id, "architecture.repaired");
    expect({ changes, genotype, onnx }).toEqual({ changes: [], genotype: undefined, onnx: undefined });
    expect((await artifacts.list(`${id}/`)).length).toBe(2);
  });
});
