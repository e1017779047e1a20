import { createHash } from "node:crypto";
import type { EventData, EventName, StoredEvent } from "../shared/events/catalog";
import { toWatchResponse } from "../shared/events/catalog";
import { listSubjects } from "../shared/events/jetstream";
import { Objects } from "../shared/events/objects";
import {
  ALL_EVENTS,
  EVENTS_STREAM,
  OBJECT_BUCKETS,
  RECORD_BUCKETS,
  objectStream,
  recordStream,
  searchFilter,
} from "../shared/events/subjects";
import { DecidedBy } from "../shared/proto/lathe/v1/result";
import {
  ConditionStatus,
  SearchPhase,
  SearchState,
  type Search,
  type WatchSearchResponse,
} from "../shared/proto/lathe/v1/search";
import { datasetOptions, openDataset } from "../shared/data/open";
import { evaluateModel } from "../shared/evaluation/evaluateModel";
import { openPredictor } from "../shared/evaluation/predictor";
import { resolve } from "../shared/spec/resolve";
import { onnxMiou } from "../shared/testing/score";
import { until } from "../shared/testing/until";
import { nameOf } from "./outcome";
import { slowSpec } from "./specs";
import { System } from "./system";

const spec = slowSpec({ labels: { team: "perception", run: "one" } });
const { trainExamples = 0, validationExamples = 0 } = spec.dataset ?? {};
const epochs = spec.training?.epochs ?? 0;
const retrainingEpochs = spec.retraining?.epochs ?? 0;

let system: System;
let id: string;
let search: Search;
let history: StoredEvent[];
const live: WatchSearchResponse[] = [];
/** Each state and phase that a client saw, in order. */
const seen: string[] = [];

beforeAll(async () => {
  system = await System.start();
  id = await system.begin(spec);
  const watching = (async () => {
    for await (const response of system.search.api.watchSearch({
      searchId: id,
      fromSequence: 0,
      includeProgress: true,
    }))
      live.push(response);
  })();
  await until(
    () => system.get(id),
    ({ state, phase }) => {
      const now = `${SearchState[state]} ${SearchPhase[phase]}`.replaceAll(/SEARCH_(STATE|PHASE)_/g, "");
      if (seen.at(-1) !== now) seen.push(now);
      return state >= SearchState.SEARCH_STATE_SUCCEEDED;
    },
  );
  await watching;
  search = await system.get(id);
  history = await system.history(id);
});
afterAll(() => system.stop());

function data<N extends EventName>(name: N): EventData<N> {
  const found = history.find(({ event }) => event.type === name);
  if (!found) throw new Error(`no ${name}`);
  return found.event.data as EventData<N>;
}

async function watch(fromSequence: number): Promise<WatchSearchResponse[]> {
  const responses: WatchSearchResponse[] = [];
  for await (const one of system.search.api.watchSearch({ searchId: id, fromSequence, includeProgress: false }))
    responses.push(one);
  return responses;
}

describe("a search", () => {
  it("publishes its events in the order of the method", () => {
    const names = history.map(nameOf).map((name) => name.replace(/space\.(shrunk|kept)/, "space.decided"));
    const rounds = Array.from({ length: epochs }, (_, i) => [`epoch.completed ${i + 1}`, `space.decided ${i + 1}`]);
    const retraining = Array.from({ length: retrainingEpochs }, (_, i) => `retraining.epoch.completed ${i + 1}`);
    expect(names).toEqual([
      "search.created",
      ...rounds.flat(),
      "supernet.converged",
      "architecture.derived",
      ...retraining,
      "network.trained",
      "network.profiled",
      "search.succeeded",
    ]);
    expect(history.some(({ event }) => event.type === "space.shrunk")).toBe(true);
  });

  it("can be watched live with its progress, and replayed from any sequence", async () => {
    const all = history.map(toWatchResponse);
    expect(live.filter(({ sequence }) => sequence > 0)).toEqual(all);
    const progress = live.flatMap(({ sequence, event }) =>
      sequence === 0 && event?.$case === "trainingProgressed" ? [event.value] : [],
    );
    expect(new Set(progress.map(({ phase }) => phase))).toEqual(new Set(["train", "retrain"]));
    expect(await watch(0)).toEqual(all);
    const from = all[4]!.sequence;
    expect(await watch(from)).toEqual(all.slice(4));
    expect(await watch(from + 1)).toEqual(all.slice(5));
  });

  it("goes through its states and phases without a step back", () => {
    const path = [
      "PENDING SEARCHING",
      "RUNNING SEARCHING",
      "RUNNING DERIVING",
      "RUNNING RETRAINING",
      "RUNNING PROFILING_NETWORK",
      "RUNNING DONE",
      "SUCCEEDED DONE",
    ];
    expect(path.filter((step) => seen.includes(step))).toEqual(seen);
    expect(seen).toEqual(expect.arrayContaining(["RUNNING SEARCHING", "RUNNING RETRAINING", "SUCCEEDED DONE"]));
  });

  it("ends with a record of the content of its events", () => {
    expect(search).toMatchObject({ state: SearchState.SEARCH_STATE_SUCCEEDED, phase: SearchPhase.SEARCH_PHASE_DONE });
    expect(search.lastSequence).toBe(history.at(-1)?.sequence);
    // So small a space may miss the target. The test is that condition and result agree.
    const met = search.result?.costMiss === "" ? "CONDITION_STATUS_TRUE" : "CONDITION_STATUS_FALSE";
    // A busy machine measures an unstable latency.
    const conditions = search.conditions.filter(({ type }) => type !== "Latency");
    expect(conditions.map(({ type, status }) => [type, ConditionStatus[status]])).toEqual(
      ["Healthy", "Converged", "Derived", "CostTarget", "Trained", "Profiled"].map((type) => [
        type,
        type === "CostTarget" ? met : "CONDITION_STATUS_TRUE",
      ]),
    );
    expect(search.lastEpoch?.epoch).toBe(epochs);
    expect(search.retrainingEpoch).toBe(retrainingEpochs);
    expect(search.spec?.dataset).toMatchObject({ trainExamples, validationExamples });
    expect(search.result).toEqual(data("search.succeeded").result);
  });
});

describe("its result", () => {
  const result = () => search.result!;

  it("has scores that agree with each other and with the events", () => {
    const { supernetMiou, discreteMiou, discretizationGap, retrainedMiou, retrainedBestEpoch, classScores } = result();
    expect(discretizationGap).toBe(supernetMiou - discreteMiou);
    // The derivation evaluates the supernet in another process, with the same result.
    expect(supernetMiou).toBeCloseTo(data("supernet.converged").validationMiou, 9);
    expect(Math.abs(discretizationGap)).toBeLessThan(0.01);
    const scores = history.flatMap(({ event }) =>
      event.type === "retraining.epoch.completed" ? [event.data.validationMiou ?? 0] : [],
    );
    expect(retrainedMiou).toBe(Math.max(...scores));
    expect(scores[retrainedBestEpoch - 1]).toBe(retrainedMiou);
    const occurring = classScores.filter(({ occurs }) => occurs);
    expect(occurring.reduce((sum, { iou }) => sum + iou, 0) / occurring.length).toBeCloseTo(retrainedMiou, 12);
    expect(classScores.map(({ name }) => name)).toContain("road");
  });

  it("has the sizes of the space at both ends, and how it was decided", async () => {
    const described = await system.supernet.api.describeSpace({ spec });
    const left = history.flatMap(({ event }) => (event.type === "space.shrunk" ? [event.data.candidatesLeft] : []));
    expect(result()).toMatchObject({
      log10SpaceStart: described.log10Size,
      candidatesStart: described.dimensions.reduce((sum, { candidates }) => sum + candidates, 0),
      candidatesLeft: left.at(-1),
      decidedBy: DecidedBy.DECIDED_BY_SHRINKING,
      convergedEpoch: data("supernet.converged").convergedEpoch,
    });
    expect(result().candidatesLeft).toBeLessThan(result().candidatesStart);
  });

  it("has costs, latency and provenance", () => {
    const { figures, latency, provenance, searchSeconds, retrainingSeconds } = result();
    expect(figures).toEqual(data("network.trained").figures);
    expect(figures?.macs).toBeGreaterThan(0);
    const { p50Seconds, p95Seconds, p99Seconds, framesPerSecond, inputHeight, inputWidth, runs } = latency!;
    expect(p50Seconds).toBeGreaterThan(0);
    expect([p50Seconds, p95Seconds, p99Seconds]).toEqual([p50Seconds, p95Seconds, p99Seconds].sort((a, b) => a - b));
    expect(framesPerSecond).toBeCloseTo(1 / p50Seconds, 6);
    expect({ inputHeight, inputWidth, runs }).toEqual({ inputHeight: 32, inputWidth: 64, runs: 5 });
    expect(provenance).toMatchObject({ seed: spec.seed, specSha256: data("search.created").specSha256 });
    expect(provenance?.engine).toMatch(/^onnxruntime\/cpu \d/);
    expect(provenance?.startedAt).toEqual(search.createdAt);
    expect(provenance!.finishedAt!.getTime()).toBeGreaterThan(provenance!.startedAt!.getTime());
    const seconds = history.flatMap(({ event }) =>
      event.type === "epoch.completed" ? [event.data.metrics?.seconds ?? 0] : [],
    );
    expect(searchSeconds).toBeCloseTo(
      seconds.reduce((sum, each) => sum + each),
      6,
    );
    expect(retrainingSeconds).toBeGreaterThan(0);
  });

  it("has files that match their digests", async () => {
    const { artifacts } = await system.search.api.listArtifacts({ searchId: id });
    expect(artifacts).toEqual(result().artifacts);
    const pictures = [1, 2, 3, 4].map((n) => `predictions/${n}.png`);
    const kinds = [
      "checkpoint",
      "derived.onnx",
      "derived.weights",
      "network.onnx",
      "network.weights",
      "deploy.onnx",
      ...pictures,
      "confusion.json",
    ];
    expect(artifacts.map(({ kind }) => kind)).toEqual(kinds);
    for (const { object, sha256, sizeBytes } of artifacts) {
      const bytes = await system.download(id, object);
      expect(bytes.length).toBe(sizeBytes);
      expect(createHash("sha256").update(bytes).digest("hex")).toBe(sha256);
    }
  });

  it("has an ONNX network with the reported mIoU", async () => {
    const onnx = search.artifacts.find(({ kind }) => kind === "network.onnx")!;
    const score = await onnxMiou(await system.download(id, onnx.object), resolve(spec).spec, result().genotype!);
    expect(Math.abs(score - result().retrainedMiou)).toBeLessThan(0.001);
    expect(result().retrainedMiou).toBeGreaterThan(0.1);
  });

  it("has a deploy form with the reported mIoU, which says where it comes from", async () => {
    const { object } = search.artifacts.find(({ kind }) => kind === "deploy.onnx")!;
    const { genotype, retrainedMiou } = result();
    const predictor = await openPredictor(await system.download(id, object), {}, { provider: "cpu", threads: 1 });
    const dataset = await openDataset(datasetOptions(resolve(spec).spec, genotype!));
    const scores = await evaluateModel(predictor, dataset.validation, genotype!.classes);
    await predictor.release();
    await dataset.close();
    // On some processors, folded batch norms turn a pixel.
    expect(Math.abs(scores.miou - retrainedMiou)).toBeLessThan(0.0001);
    expect(predictor.metadata).toMatchObject({ search: id, validation_miou: String(retrainedMiou) });
  });

  it("has a genotype that scores, with inherited weights, as the discrete network does", async () => {
    const { genotype, discreteMiou } = result();
    const { miou } = await system.supernet.api.evaluateArchitecture({ searchId: id, genotype });
    expect(miou).toBeCloseTo(discreteMiou, 9);
  });
});

describe("after its end", () => {
  it("is listed by state and by labels", async () => {
    const list = async (states: SearchState[], labels: Record<string, string>) =>
      (await system.search.api.listSearches({ pageSize: 0, pageToken: "", states, labels })).searches.map(
        (one) => one.id,
      );
    expect(await list([], {})).toEqual([id]);
    expect(await list([SearchState.SEARCH_STATE_SUCCEEDED], { team: "perception", run: "one" })).toEqual([id]);
    expect(await list([SearchState.SEARCH_STATE_RUNNING], {})).toEqual([]);
    expect(await list([], { team: "perception", run: "two" })).toEqual([]);
  });

  it("is deleted with every event, record and object", async () => {
    expect(await system.history(id)).not.toEqual([]);
    await system.search.api.deleteSearch({ searchId: id });
    await expect(system.get(id)).rejects.toMatchObject({ code: "NOT_FOUND", reason: "SEARCH_NOT_FOUND" });
    await expect(watch(0)).rejects.toMatchObject({ code: "NOT_FOUND" });
    expect(await listSubjects(system.bus, EVENTS_STREAM, searchFilter(id))).toEqual(new Map());
    expect(await listSubjects(system.bus, EVENTS_STREAM, ALL_EVENTS)).toEqual(new Map());
    for (const bucket of OBJECT_BUCKETS) {
      expect(await new Objects(system.bus, bucket).list()).toEqual([]);
      expect((await system.stream(objectStream(bucket))).messages).toBe(0);
    }
    for (const bucket of RECORD_BUCKETS) expect((await system.stream(recordStream(bucket))).messages).toBe(0);
    const { searches } = await system.search.api.listSearches({ pageSize: 0, pageToken: "", states: [], labels: {} });
    expect(searches).toEqual([]);
  });
});
