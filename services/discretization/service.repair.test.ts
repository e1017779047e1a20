import { connect, type Bus } from "../../shared/events/bus";
import { awaitEvent, historyOnce } from "../../shared/events/history";
import { Objects } from "../../shared/events/objects";
import { publishEvent, publishWork, subscribeProgress } from "../../shared/events/publisher";
import type { Consumption } from "../../shared/events/pulls";
import { provision } from "../../shared/events/streams";
import { ARTIFACTS_BUCKET, CHECKPOINTS_BUCKET } from "../../shared/events/subjects";
import { datasetOptions, openDataset } from "../../shared/data/open";
import { eagerEngine } from "../../shared/engine/engine";
import { createRandom } from "../../shared/engine/random";
import { recalibratedStats, recalibrationBatches } from "../../shared/evaluation/recalibration";
import { onnxMetadata } from "../../shared/engine/onnx";
import { decodeBundle } from "../../shared/network/bundle";
import { buildDiscrete } from "../../shared/network/discrete";
import { initialStats } from "../../shared/network/initialise";
import { transfer } from "../../shared/network/transfer";
import { createLogger } from "../../shared/process/logger";
import { createMetrics } from "../../shared/process/metrics";
import { DiscretizationServiceClient } from "../../shared/proto/lathe/v1/discretization";
import {
  SupernetConverged,
  type ArchitectureDerived,
  type ArchitectureRepaired,
  type NetworkKept,
  type TrainingProgressed,
} from "../../shared/proto/lathe/v1/events";
import type { ArtifactRef } from "../../shared/proto/lathe/v1/result";
import type { Genotype } from "../../shared/proto/lathe/v1/space";
import { costOfLargest, genotypeCost, macsTable } from "../../shared/space/cost";
import { isMember, largestGenotype } from "../../shared/space/genotype";
import { networkCosts } from "../../shared/space/networkCosts";
import { resolve } from "../../shared/spec/resolve";
import { workIsDone } from "../../shared/testing/bus";
import { startNats, uniqueSearchId, type TestNats } from "../../shared/testing/nats";
import { decidedArchitecture } from "../../shared/space/decided";
import { relativeDifference } from "../../shared/testing/parity";
import { startRpc, type TestRpc } from "../../shared/testing/rpc";
import { briefSpec, trainedCheckpoint } from "../../shared/testing/training";
import { patience, until } from "../../shared/testing/until";
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

/** A stored network with its parameters. */
async function stored(genotype: Genotype, weights: ArtifactRef) {
  const { weights: values, stats } = decodeBundle(await artifacts.get(weights), "it").arrays;
  return { network: buildDiscrete(genotype, { kind: "search" }), parameters: { weights: values!, stats: stats! } };
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
const queue = (searchId: string, number: number, share = 1, resumption = 0) =>
  publishWork(bus, {
    ...{ searchId, kind: "derive", ordinal: number === 0 ? 0 : `repair-${number}-${resumption}` },
    data: {
      ...{ spec, costTable: table, resumption },
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

  it("gets the statistics of its own widths and operations, from training images", async () => {
    const { id, event } = await derived();
    await queue(id, 1, 0.7);
    const { genotype, weights } = await told<ArchitectureRepaired>(id, "architecture.repaired");
    const { network, parameters } = await stored(genotype!, weights!);
    const before = await stored(event.genotype!, event.weights!);
    const inherited = transfer(before.network, before.parameters.weights, network, createRandom(1));
    // Narrowing draws nothing at random.
    expect(parameters.weights).toEqual(inherited);
    const { seed, training } = spec;
    // Four batches, at even distances among all training images.
    const dataset = await openDataset({ ...datasetOptions(spec, space), trainExamples: 4 * training.batchSize });
    const order = { seed, batchSize: training.batchSize, labelStride: network.stride };
    const images = await recalibrationBatches(dataset.train, order);
    await dataset.close();
    const { signal } = new AbortController();
    const wanted = await recalibratedStats(eagerEngine("cpu"), network, inherited, images, signal);
    expect(relativeDifference(parameters.stats, wanted)).toBeLessThan(1e-4);
    expect(relativeDifference(initialStats(network.stats), wanted)).toBeGreaterThan(0.1);
  });

  it("says how many networks its repair has compared, of those that it is to compare by now", async () => {
    const { id } = await derived();
    const seen: TrainingProgressed[] = [];
    const leave = subscribeProgress(bus, id, (progress) => seen.push(progress));
    await queue(id, 1, 0.7);
    const { evaluated } = await told<ArchitectureRepaired>(id, "architecture.repaired");
    await until(
      () => seen.at(-1),
      (last) => last?.step === evaluated,
    );
    leave();
    expect(seen.every(({ phase }) => phase === "derive")).toBe(true);
    expect(seen[0]).toMatchObject({ step: 0 });
    expect(seen[0]!.steps).toBeGreaterThan(1);
    for (const [at, { step, steps }] of seen.entries()) {
      expect(step).toBeLessThanOrEqual(steps);
      const before = seen[at - 1];
      if (before) expect([step - before.step, steps >= before.steps]).toEqual([step === before.step ? 0 : 1, true]);
    }
    expect(seen.at(-1)).toMatchObject({ step: evaluated, steps: evaluated });
  });

  it("is the same to the byte where its repair is interrupted and run again", async () => {
    const files: string[][] = [];
    for (const isInterrupted of [false, true]) {
      const { id } = await derived();
      const interrupted = new Promise<void>((resolve) => {
        const leave = subscribeProgress(bus, id, ({ step }) => {
          if (!isInterrupted || step < 3) return;
          leave();
          const paused = publishEvent(bus, id, { type: "search.paused", data: {} });
          resolve(paused.then(() => undefined));
        });
      });
      // From the largest network to a smaller one, and back: the second repair adds channels.
      await queue(id, 1, 0.6);
      if (isInterrupted) {
        await interrupted;
        await workIsDone(bus);
        expect((await historyOnce(bus, id)).some(({ event }) => event.type === "architecture.repaired")).toBe(false);
        await publishEvent(bus, id, { type: "search.resumed", data: { resumption: 1 } });
        await queue(id, 1, 0.6, 1);
      }
      await told<ArchitectureRepaired>(id, "architecture.repaired");
      await queue(id, 2, 1, isInterrupted ? 1 : 0);
      await workIsDone(bus);
      const repairs = (await historyOnce(bus, id)).flatMap(({ event }) =>
        event.type === "architecture.repaired" ? [event.data] : [],
      );
      expect(repairs).toHaveLength(2);
      files.push(repairs.flatMap(({ onnx, weights }) => [onnx!.sha256, weights!.sha256]));
    }
    expect(new Set(files[0]).size).toBe(4);
    expect(files[1]).toEqual(files[0]);
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
