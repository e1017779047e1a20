import { createEngine } from "../../shared/engine/engine";
import { connect, type Bus } from "../../shared/events/bus";
import type { EventName, LatheEvent, StoredEvent } from "../../shared/events/catalog";
import type { Consumption } from "../../shared/events/pulls";
import { awaitEvent, historyOnce, replay } from "../../shared/events/history";
import { publishEvent, publishWork, subscribeProgress } from "../../shared/events/publisher";
import { provision } from "../../shared/events/streams";
import { encodeBundle } from "../../shared/network/bundle";
import { encodeSupernet } from "../../shared/network/checkpoint";
import { buildDiscrete } from "../../shared/network/discrete";
import { createLogger } from "../../shared/process/logger";
import { createMetrics } from "../../shared/process/metrics";
import type { EpochCompleted, SupernetConverged, TrainingProgressed } from "../../shared/proto/lathe/v1/events";
import { DecidedBy, EpochMetrics, HealthAlarmKind } from "../../shared/proto/lathe/v1/result";
import { DatasetKind, HealthPolicy, HealthSpec, type SearchSpec } from "../../shared/proto/lathe/v1/spec";
import { SupernetServiceClient } from "../../shared/proto/lathe/v1/supernet";
import { macsTable } from "../../shared/space/cost";
import { derive, largestGenotype } from "../../shared/space/genotype";
import { candidatesLeft, initialArchitecture } from "../../shared/space/groups";
import { resolve } from "../../shared/spec/resolve";
import { workIsDone } from "../../shared/testing/bus";
import { startNats, uniqueSearchId, type TestNats } from "../../shared/testing/nats";
import { randomBuffer } from "../../shared/testing/networks";
import { startRpc, type TestRpc } from "../../shared/testing/rpc";
import { uniform } from "../../shared/testing/spaces";
import { briefSpec, decideAll, halve, timeless } from "../../shared/testing/training";
import { consume, Trainer } from "./trainer";
import { decisionOn } from "./resumption";
import { trainingMetrics } from "./metrics";
import { supernetService } from "./rpc";
import { trainSupernet } from "./training/algorithms/ssr/train";
import { initialSupernet } from "./training/supernetState";
import { patience } from "../../shared/testing/until";

const engine = { engine: "onnxruntime", provider: "cpu", threads: 1 } as const;
const lines: Record<string, unknown>[] = [];
const logger = createLogger({ service: "test", write: (line) => lines.push(JSON.parse(line) as never) });
const logged = (message: string, searchId: string) =>
  lines.filter((line) => line.msg === message && line.searchId === searchId);

let nats: TestNats;
let bus: Bus;
let rpc: TestRpc;
let trainer: Trainer;
let consumption: Consumption;
const standIns: (() => Promise<void>)[] = [];
const metrics = createMetrics();
beforeAll(async () => {
  nats = await startNats();
  bus = await connect({ url: nats.url, name: "supernet", logger });
  await provision(bus);
  trainer = new Trainer({ bus, engine, logger, metrics: trainingMetrics(metrics, () => trainer.worker.rssBytes()) });
  rpc = await startRpc([supernetService(bus, trainer)]);
  consumption = await consume(bus, trainer, 60_000);
});
afterAll(async () => {
  await Promise.all(standIns.map((end) => end()));
  await consumption?.stop();
  await rpc?.stop();
  await bus?.drain();
  await nats?.stop();
});

/** Stands in for the shrinking service: it halves the candidates after the first epoch and decides all groups after the second. */
function answerTo({ metrics: told, architecture, space }: EpochCompleted): LatheEvent {
  const epoch = told!.epoch;
  const left = epoch === 1 ? halve(space!, architecture!, 1) : decideAll(space!, architecture!);
  if (epoch > 2) return { type: "space.kept", data: { epoch, converged: true } };
  const data = { epoch, removals: [], architecture: left, log10Space: 0, candidatesLeft: candidatesLeft(left) };
  return { type: "space.shrunk", data: { ...data, converged: epoch === 2 } };
}
const keep = ({ metrics: told }: EpochCompleted): LatheEvent => ({
  type: "space.kept",
  data: { epoch: told!.epoch, converged: false },
});

/** Answers a search's epochs until stopped. */
function shrinkingOf(id: string, answer: (epoch: EpochCompleted) => LatheEvent) {
  const stop = new AbortController();
  const running = (async () => {
    for await (const { event } of replay(bus, id, 0, stop.signal))
      if (event.type === "epoch.completed") await publishEvent(bus, id, answer(event.data));
  })();
  const end = async () => {
    stop.abort();
    await running;
  };
  standIns.push(end);
  return end;
}

async function newSearch(asked: SearchSpec): Promise<string> {
  const { spec, space } = resolve(asked);
  const id = uniqueSearchId();
  await publishEvent(bus, id, { type: "search.created", data: { spec, space, specSha256: "" } });
  return id;
}

function queue(id: string, asked: SearchSpec, resumption = 0) {
  const { spec, space } = resolve(asked);
  const data = { spec, space, costTable: macsTable(space), resumption };
  return publishWork(bus, { searchId: id, kind: "train", data, ordinal: resumption });
}

const told = <N extends EventName>(id: string, type: N, accept: (event: never) => boolean = () => true) =>
  awaitEvent(bus, id, 0, ({ event }) => event.type === type && accept(event.data as never), patience());
const epochs = (history: StoredEvent[]) =>
  history.flatMap(({ event }) => (event.type === "epoch.completed" ? [event.data.metrics!.epoch] : []));
const names = (history: StoredEvent[]) => history.map(({ event }) => event.type);

describe("a train work item", () => {
  const spec = briefSpec();
  const { spec: resolved, space } = resolve(spec);
  const client = () => rpc.connect(SupernetServiceClient).api;
  let id: string;
  let converged: SupernetConverged;
  const progress: TrainingProgressed[] = [];
  /** Steps during which a call was answered. */
  const during = new Set<string>();

  it("runs to its end over a crash of the training process, from the last checkpoint", async () => {
    id = await newSearch(spec);
    let killed = false;
    const stop = shrinkingOf(id, (epoch) => {
      if (epoch.metrics!.epoch === 2 && !killed) {
        killed = true;
        for (const pid of trainer.worker.pids()) process.kill(pid, "SIGKILL");
      }
      return answerTo(epoch);
    });
    const end = subscribeProgress(bus, id, (each) => progress.push(each));
    await queue(id, spec);
    let done = false;
    const result = told(id, "supernet.converged").finally(() => (done = true));
    while (!done) {
      const status = await client().getTrainingStatus({});
      if (status.searchId) expect(status.searchId).toBe(id);
      if (status.progress) during.add(`${status.progress.epoch}.${status.progress.step}`);
      await bus.flush();
    }
    converged = (await result).event.data as SupernetConverged;
    end();
    await stop();
    expect(killed).toBe(true);
    const history = await historyOnce(bus, id);
    expect(epochs(history)).toEqual([1, 2, 3]);
    expect(names(history).filter((name) => name === "supernet.converged")).toHaveLength(1);
    expect(logged("resuming", id)).toMatchObject([{ epoch: 2 }]);
    await workIsDone(bus);
  });

  it("has the same result as a run without a crash, bit for bit", async () => {
    const checkpoints: Uint8Array[] = [];
    const event = await trainSupernet(
      await createEngine(engine),
      { spec: resolved, space, table: macsTable(space) },
      {
        storeCheckpoint: (bytes) => {
          checkpoints.push(bytes);
          return Promise.resolve(converged.checkpoint!);
        },
        completeEpoch: (epoch) => {
          const stored = { sequence: 1, time: new Date(), searchId: id, event: answerTo(epoch) };
          return Promise.resolve(decisionOn(epoch.metrics!.epoch, stored)!);
        },
        raise: () => Promise.resolve(),
        progress: () => undefined,
        compiled: () => undefined,
        signal: patience(),
      },
    );
    expect(timeless(await trainer.checkpoints.get(converged.checkpoint!, patience()))).toEqual(
      timeless(checkpoints[2]!),
    );
    expect({ ...converged, seconds: 0 }).toEqual({ ...event, seconds: 0 });
    expect(converged).toMatchObject({ decidedBy: DecidedBy.DECIDED_BY_SHRINKING, convergedEpoch: 2 });
  });

  it("keeps the newest checkpoint only", async () => {
    expect(await trainer.checkpoints.list(`${id}/`)).toEqual([converged.checkpoint!.object]);
  });

  it("lets gRPC answer while steps run, and publishes their progress", () => {
    // A service that answers only between epochs would have answered during one or two steps.
    expect(during.size).toBeGreaterThan(2);
    expect(progress.length).toBeGreaterThan(0);
    expect(progress.at(-1)).toMatchObject({ phase: "train", epoch: 3, epochs: 3, step: 4, steps: 4 });
  });

  it("that is delivered again after its end changes nothing", async () => {
    const before = (await historyOnce(bus, id)).length;
    await queue(id, spec, 9);
    await workIsDone(bus);
    expect(logged("work item skipped", id)).toMatchObject([{ why: "the supernet is trained" }]);
    expect(await historyOnce(bus, id)).toHaveLength(before);
  });

  it("leaves a supernet whose networks can be evaluated", async () => {
    const { genotype } = derive(space, converged.architecture!);
    const { miou, loss, figures } = await client().evaluateArchitecture({ searchId: id, genotype });
    // The checkpoint is that of the converged supernet, which holds a single network.
    expect(miou).toBeCloseTo(converged.validationMiou, 6);
    expect(loss).toBeGreaterThan(0);
    expect(figures!.params).toBeGreaterThan(100);

    const removed = structuredClone(genotype);
    const [block] = removed.stages[0]!.blocks;
    block!.dilation = 3 - block!.dilation;
    await expect(client().evaluateArchitecture({ searchId: id, genotype: removed })).rejects.toMatchObject({
      code: "FAILED_PRECONDITION",
      reason: "OPERATION_REMOVED",
    });
    const foreign = { ...genotype, stemChannels: 5 };
    await expect(client().evaluateArchitecture({ searchId: id, genotype: foreign })).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      message: "genotype is not a network of the search's space",
    });
  });

  it.each<[string, () => Promise<string>, object]>([
    [
      "is unknown",
      () => Promise.resolve("s-unknown"),
      { code: "NOT_FOUND", message: 'search "s-unknown" does not exist' },
    ],
    ["has no epoch yet", () => newSearch(spec), { code: "FAILED_PRECONDITION", reason: "NOT_TRAINED" }],
    ["has no valid id", () => Promise.resolve("S.1"), { code: "INVALID_ARGUMENT" }],
  ])("refuses to evaluate in a search that %s", async (_, search, error) => {
    const request = { searchId: await search(), genotype: largestGenotype(space) };
    await expect(client().evaluateArchitecture(request)).rejects.toMatchObject(error);
  });

  it("describes a space", async () => {
    const { log10Size, dimensions, largest, spec: filled } = await client().describeSpace({ spec });
    // Per block 4 operations with 2 * 2 widths each: 4 * 2^8 networks; one or two blocks a stage, two stages.
    expect(log10Size).toBeCloseTo(2 * Math.log10(1024 + 1024 ** 2), 9);
    expect(dimensions.map(({ groups, candidates }) => [groups, candidates])).toEqual([
      [2, 4],
      [4, 16],
      [16, 32],
      [16, 32],
    ]);
    // Deepest: 4 blocks of 4 operations, 4 x 4 width groups of 2 each way; each stage adds 1/1024 of that by its shallower exit.
    const shallower = 2 * Math.log10(1 + 1 / 1024);
    [shallower, 4 * Math.log10(4), 16 * Math.log10(2), 16 * Math.log10(2)].forEach((part, index) =>
      expect(dimensions[index]!.log10Size).toBeCloseTo(part, 9),
    );
    expect(largest!.macs).toBeGreaterThan(10_000);
    expect(filled!.training!.epochs).toBe(3);
    await expect(client().describeSpace({ spec: { ...spec, preset: "huge" } })).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      violations: [{ field: "preset" }],
    });
  });
});

it("a pause ends the item, a resumption continues from the last epoch, and a cancellation ends the training", async () => {
  const spec = briefSpec({ training: { epochs: 300 } });
  const id = await newSearch(spec);
  const stop = shrinkingOf(id, keep);
  await queue(id, spec);
  await told(id, "epoch.completed", ({ metrics: of }: EpochCompleted) => of!.epoch === 2);
  await publishEvent(bus, id, { type: "search.paused", data: {} });
  await workIsDone(bus);
  expect(trainer.worker.pids()).toEqual([]);
  expect(logged("work item stopped", id)).toMatchObject([{ why: "SEARCH_PAUSED" }]);
  const last = Math.max(...epochs(await historyOnce(bus, id)));

  await publishEvent(bus, id, { type: "search.resumed", data: { resumption: 1 } });
  await queue(id, spec, 1);
  await told(id, "epoch.completed", ({ metrics: of }: EpochCompleted) => of!.epoch === last + 2);
  await publishEvent(bus, id, { type: "search.cancelled", data: { reason: "enough" } });
  await workIsDone(bus);
  await stop();
  const history = await historyOnce(bus, id);
  // Nothing is trained from the end of the item to the resumption.
  const paused = history.slice(0, names(history).indexOf("search.resumed"));
  expect(Math.max(...epochs(paused))).toBe(last);
  const all = epochs(history);
  expect(all).toEqual(Array.from({ length: all.length }, (_, n) => n + 1));
  expect(names(await historyOnce(bus, id))).not.toContain("work.failed");
  expect(logged("resuming", id)).toMatchObject([{ epoch: last }]);
  expect(trainer.status).toBeUndefined();
});

it("waits for a decision for a limited time, then says who has not answered", async () => {
  const spec = briefSpec();
  const id = await newSearch(spec);
  const { spec: resolved, space } = resolve(spec);
  const data = { spec: resolved, space, costTable: macsTable(space), resumption: 0 };
  const training = trainingMetrics(createMetrics(), () => 0);
  const own = new Trainer({ bus, engine, logger, metrics: training, decisionMs: 200 });
  const { signal } = new AbortController();
  const item = { id: "w", searchId: id, kind: "train" as const, data };
  const inHand = { history: await historyOnce(bus, id), signal, held: signal, stop: () => {} };
  await expect(own.carryOut(item, inHand)).rejects.toMatchObject({
    code: "UNAVAILABLE",
    reason: "DECISION_OVERDUE",
    message: expect.stringContaining("has not decided on epoch 1") as string,
  });
  expect(epochs(await historyOnce(bus, id))).toEqual([1]);
});

it("an item goes on from the newer checkpoint where another worker has replaced the one of its history", async () => {
  const spec = briefSpec();
  const id = await newSearch(spec);
  const { spec: resolved, space } = resolve(spec);
  const stop = shrinkingOf(id, answerTo);
  await queue(id, spec);
  await told(id, "supernet.converged");
  await workIsDone(bus);
  await stop();
  const whole = await historyOnce(bus, id);
  // The history as it was before the second epoch, which deleted the checkpoint of the first.
  const history = whole.slice(0, names(whole).indexOf("space.shrunk") + 1);
  expect(epochs(history)).toEqual([1]);

  const data = { spec: resolved, space, costTable: macsTable(space), resumption: 0 };
  const own = new Trainer({ bus, engine, logger, metrics: trainingMetrics(createMetrics(), () => 0) });
  const signal = patience();
  const item = { id: "w", searchId: id, kind: "train" as const, data };
  await own.carryOut(item, { history, signal, held: signal, stop: () => {} });
  expect(logged("resuming", id)).toMatchObject([{ epoch: 1 }, { epoch: 3 }]);
  expect(await historyOnce(bus, id)).toEqual(whole);
});

describe("an alarm", () => {
  const { HEALTH_POLICY_PAUSE: PAUSE, HEALTH_POLICY_REPORT: REPORT, HEALTH_POLICY_FAIL: FAIL } = HealthPolicy;
  /** Every epoch breaks the bound of the gradient norm, and the first raises the alarm. */
  const ill = (onGradientNorm: HealthPolicy) => ({
    ...briefSpec(),
    health: HealthSpec.fromPartial({ graceEpochs: 0, maxClassShare: 1, maxGradientNorm: 1e-6, onGradientNorm }),
  });
  const alarms = (history: StoredEvent[]) =>
    history.flatMap(({ event }) =>
      event.type === "health.alarm.raised" ? [`${HealthAlarmKind[event.data.kind]} ${event.data.epoch}`] : [],
    );
  const once = ["HEALTH_ALARM_KIND_GRADIENT_NORM 1"];

  it("follows the shrink of its epoch; one that pauses ends the item, and the resumed search is not paused again", async () => {
    const spec = ill(PAUSE);
    const id = await newSearch(spec);
    const stop = shrinkingOf(id, answerTo);
    await queue(id, spec);
    await told(id, "health.alarm.raised");
    await workIsDone(bus);
    expect(trainer.worker.pids()).toEqual([]);
    expect(logged("work item stopped", id)).toMatchObject([{ why: "SEARCH_PAUSED" }]);
    expect(names(await historyOnce(bus, id))).toEqual([
      ...["search.created", "epoch.completed", "space.shrunk", "health.alarm.raised"],
    ]);
    // The same item again, as after a crash: the search waits.
    await queue(id, spec, 0);
    await workIsDone(bus);
    expect(epochs(await historyOnce(bus, id))).toEqual([1]);

    await publishEvent(bus, id, { type: "search.resumed", data: { resumption: 1 } });
    await queue(id, spec, 1);
    await told(id, "supernet.converged");
    await stop();
    expect(epochs(await historyOnce(bus, id))).toEqual([1, 2, 3]);
    expect(alarms(await historyOnce(bus, id))).toEqual(once);
    expect(logged("resuming", id)).toMatchObject([{ epoch: 1 }]);
  });

  it("that fails the search ends the item without a second event work.failed", async () => {
    const spec = ill(FAIL);
    const id = await newSearch(spec);
    const stop = shrinkingOf(id, answerTo);
    await queue(id, spec);
    await told(id, "health.alarm.raised");
    await workIsDone(bus);
    await stop();
    expect(names(await historyOnce(bus, id)).at(-1)).toBe("health.alarm.raised");
  });

  it("is published exactly once, even if the trainer dies between the epoch and its decision", async () => {
    const spec = ill(REPORT);
    const id = await newSearch(spec);
    const { spec: resolved, space } = resolve(spec);
    const data = { spec: resolved, space, costTable: macsTable(space), resumption: 0 };
    const own = new Trainer({ bus, engine, logger, metrics: trainingMetrics(createMetrics(), () => 0) });
    const gone = new AbortController();
    const item = { id: "w", searchId: id, kind: "train" as const, data };
    const inHand = { history: await historyOnce(bus, id), signal: gone.signal, held: gone.signal, stop: () => {} };
    const running = expect(own.carryOut(item, inHand)).rejects.toMatchObject({ code: "CANCELLED" });
    // There is no decision yet, so the alarm waits. Then its trainer ends.
    await told(id, "epoch.completed");
    gone.abort(new Error("killed"));
    await running;
    expect(alarms(await historyOnce(bus, id))).toEqual([]);

    const stop = shrinkingOf(id, answerTo);
    await queue(id, spec);
    await told(id, "supernet.converged");
    await stop();
    const history = await historyOnce(bus, id);
    expect(alarms(history)).toEqual(once);
    expect(names(history).slice(1, 5)).toEqual([
      ...["epoch.completed", "space.shrunk", "health.alarm.raised", "epoch.completed"],
    ]);
  });

  it("on a loss that is not finite pauses the search by its policy, and fails the item when it recurs", async () => {
    const spec = {
      ...briefSpec(),
      // No other alarm comes before it.
      health: HealthSpec.fromPartial({ onLossNotFinite: PAUSE, graceEpochs: 10_000 }),
    };
    const id = await newSearch(spec);
    const stop = shrinkingOf(id, keep);
    await publishBrokenEpoch(id, spec);
    await queue(id, spec);
    const { event } = await told(id, "health.alarm.raised");
    expect(event.data).toMatchObject({ kind: HealthAlarmKind.HEALTH_ALARM_KIND_LOSS_NOT_FINITE, policy: PAUSE });
    await workIsDone(bus);
    expect(names(await historyOnce(bus, id)).at(-1)).toBe("health.alarm.raised");

    await publishEvent(bus, id, { type: "search.resumed", data: { resumption: 1 } });
    await queue(id, spec, 1);
    const failed = await told(id, "work.failed");
    expect(failed.event.data).toMatchObject({ phase: "train", reason: "LOSS_NOT_FINITE", deliveries: 1 });
    await stop();
  });
});

/** Publishes the first epoch of a search, with a checkpoint whose weights are NaN. */
async function publishBrokenEpoch(id: string, asked: SearchSpec): Promise<void> {
  const { spec, space } = resolve(asked);
  const state = initialSupernet(space, spec.seed);
  state.weights.values.fill(NaN);
  const bytes = encodeSupernet(state, { epoch: 1, convergedEpoch: 0, seconds: 1, miou: 0, costWeight: 1 });
  const about = { kind: "checkpoint", mediaType: "application/octet-stream", signal: patience() };
  const checkpoint = await trainer.checkpoints.put(`${id}/checkpoint`, bytes, about);
  const metrics = EpochMetrics.fromPartial({ epoch: 1, epochs: spec.training.epochs });
  const { architecture } = state.supernet;
  const data = { metrics, architecture, checkpoint, policy: spec.shrinking, space, alarms: [] };
  await publishEvent(bus, id, { type: "epoch.completed", data });
}

it("a retrain work item runs to a trained network", async () => {
  const spec = briefSpec({ retraining: { epochs: 1 } });
  const { spec: resolved, space } = resolve(spec);
  const { genotype } = derive(space, initialArchitecture(space));
  const network = buildDiscrete(genotype, { kind: "search" });
  const [weights, stats] = [network.weights, network.stats].map((layout) => randomBuffer(layout, uniform(1)));
  const id = await newSearch(spec);
  const inherited = await trainer.artifacts.put(
    `${id}/derived.weights`,
    encodeBundle({ header: {}, arrays: { weights: weights!, stats: stats! } }),
    { kind: "derived.weights", mediaType: "application/octet-stream" },
  );
  const data = { spec: resolved, genotype, weights: inherited, resumption: 0 };
  await publishWork(bus, { searchId: id, kind: "retrain", data, ordinal: 0 });
  const { event } = await told(id, "network.trained");
  if (event.type !== "network.trained") throw new Error(event.type);
  expect(event.data).toMatchObject({ bestEpoch: 1, onnx: { kind: "network.onnx" } });
  for (const recorded of [event.data.onnx!, event.data.weights!, ...event.data.predictions])
    expect((await trainer.artifacts.get(recorded, patience())).length).toBeGreaterThan(100);
  await workIsDone(bus);
  expect(names(await historyOnce(bus, id))).toEqual([
    "search.created",
    "retraining.epoch.completed",
    "network.trained",
  ]);
});

it("an item that cannot be carried out is published once as work.failed, with the reason", async () => {
  const spec: SearchSpec = {
    ...briefSpec(),
    dataset: { kind: DatasetKind.DATASET_KIND_CAMVID, path: "no/such/folder" },
  };
  const id = await newSearch(spec);
  await queue(id, spec);
  const { event } = await told(id, "work.failed");
  expect(event.data).toMatchObject({ phase: "train", reason: "DATASET_INVALID", deliveries: 1 });
  expect((event.data as { message: string }).message).toContain("no/such/folder");
  await workIsDone(bus);
});
