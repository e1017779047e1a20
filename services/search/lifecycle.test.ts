import type { LatheEvent, StoredEvent } from "../../shared/events/catalog";
import { HealthAlarmRaised, NetworkKept } from "../../shared/proto/lathe/v1/events";
import { DecidedBy, EpochHealth, HealthAlarmKind } from "../../shared/proto/lathe/v1/result";
import { ConditionStatus, Search, SearchPhase, SearchState } from "../../shared/proto/lathe/v1/search";
import { CostMetric } from "../../shared/proto/lathe/v1/space";
import { AlgorithmKind, CostSpec, HealthPolicy, type SearchSpec } from "../../shared/proto/lathe/v1/spec";
import { macsTable } from "../../shared/space/cost";
import { largestGenotype } from "../../shared/space/genotype";
import { resolve, specDigest } from "../../shared/spec/resolve";
import { tinySpec, workerEvents } from "../../shared/testing/searches";
import { uniform } from "../../shared/testing/spaces";
import { nextCommand } from "./commands";
import { project, projectAll } from "./lifecycle";
import { recordCodec, stateName, type SearchRecord } from "./record";

const host = { latheVersion: "1.2.3", nodeVersion: "v20", platform: "linux x64", cpu: "a cpu" };
const start = Date.UTC(2026, 0, 1);

/** The events as stored: sequences with gaps, a second apart. */
function stored(events: readonly LatheEvent[]): StoredEvent[] {
  return events.map((event, index) => ({
    sequence: 10 + 3 * index,
    time: new Date(start + 1000 * index),
    searchId: "s-abc",
    event,
  }));
}

function search(overrides: Partial<SearchSpec> = {}) {
  const { spec, space } = resolve(tinySpec(overrides));
  const events = workerEvents(space);
  const created: LatheEvent = { type: "search.created", data: { spec, space, specSha256: specDigest(spec) } };
  const paused: LatheEvent = { type: "search.paused", data: {} };
  const resumed = (resumption: number): LatheEvent => ({ type: "search.resumed", data: { resumption } });
  return { spec, space, created, paused, resumed, ...events };
}

/** State, phase and id of the next command after each event. */
function course(events: readonly LatheEvent[]): string[] {
  let record: SearchRecord | undefined;
  return stored(events).map((each) => {
    record = project(record, each);
    if (!record) return "none";
    return `${stateName(record.search.state)} ${SearchPhase[record.search.phase].replace("SEARCH_PHASE_", "")} ${nextCommand(record, host)?.id ?? "-"}`;
  });
}

function whole(overrides: Partial<SearchSpec> = {}): LatheEvent[] {
  const s = search(overrides);
  return [
    s.created,
    ...(s.spec.cost.metric === CostMetric.COST_METRIC_LATENCY ? [s.operatorsProfiled] : []),
    ...[s.epoch(1), s.shrunk(1), s.epoch(2), s.kept(2), s.converged, s.derived],
    ...(s.spec.retraining.epochs > 0 ? [s.retrained(1), s.retrained(2), s.trained] : []),
    s.profiled,
  ];
}

const s = search();
const latency = { cost: { metric: CostMetric.COST_METRIC_LATENCY } };
const bare = { retraining: { epochs: 0 } };
const genotype = largestGenotype(s.space);
/** A search of a given network. Its operators are not measured, although its cost is latency. */
const given = search({ ...latency, algorithm: { kind: AlgorithmKind.ALGORITHM_KIND_FIXED, genotype } });
const failed: LatheEvent = {
  type: "work.failed",
  data: { phase: "train", reason: "DATASET_INVALID", message: "no train.txt", deliveries: 1, resumption: 0 },
};
const searchFailed: LatheEvent = {
  type: "search.failed",
  data: { phase: "train", reason: "DATASET_INVALID", message: "no train.txt", resumption: 0 },
};
/** The failure of the first resumption. */
const again = (event: LatheEvent) => ({ ...event, data: { ...event.data, resumption: 1 } }) as LatheEvent;
const alarm = (
  epoch: number,
  policy: HealthPolicy,
  kind = HealthAlarmKind.HEALTH_ALARM_KIND_MIOU_DROP,
): LatheEvent => ({
  type: "health.alarm.raised",
  data: HealthAlarmRaised.fromPartial({ kind, epoch, policy, message: `ill at ${epoch}` }),
});
const { HEALTH_POLICY_REPORT: REPORT, HEALTH_POLICY_PAUSE: PAUSE, HEALTH_POLICY_FAIL: FAIL } = HealthPolicy;
/** An epoch after which the conditions of these alarms hold. */
const epochWith = (n: number, ...standing: HealthAlarmKind[]): LatheEvent => {
  const { data } = s.epoch(n) as Extract<LatheEvent, { type: "epoch.completed" }>;
  return {
    type: "epoch.completed",
    data: { ...data, metrics: { ...data.metrics!, health: EpochHealth.fromPartial({ standing }) } },
  };
};
const cancelled: LatheEvent = { type: "search.cancelled", data: { reason: "enough" } };
const file = (kind: string) => ({ object: `s-abc/${kind}`, kind, sizeBytes: 1, sha256: "00", mediaType: "" });
const kept: LatheEvent = {
  type: "network.kept",
  data: NetworkKept.fromPartial({
    ...{ phase: "train", epoch: 1, genotype, decidedBy: DecidedBy.DECIDED_BY_ARGMAX, message: "the argmax" },
    ...{ validationMiou: 0.25, supernetMiou: 0.75, figures: { params: 5, macs: 6 }, costRatio: 0.5 },
    ...{ onnx: file("derived.onnx"), weights: file("derived.weights") },
  }),
};

describe("the course of a search", () => {
  it.each<[string, LatheEvent[], string[]]>([
    [
      "with MACs as its cost",
      whole(),
      [
        "PENDING SEARCHING train:0",
        ...Array<string>(4).fill("RUNNING SEARCHING train:0"),
        "RUNNING DERIVING derive:0",
        ...Array<string>(3).fill("RUNNING RETRAINING retrain:0"),
        "RUNNING PROFILING_NETWORK profile:network",
        "RUNNING DONE succeeded",
      ],
    ],
    [
      "with latency as its cost",
      whole(latency).slice(0, 3),
      ["PENDING PROFILING_OPERATORS profile:operators", "RUNNING SEARCHING train:0", "RUNNING SEARCHING train:0"],
    ],
    [
      "without retraining",
      whole(bare).slice(-3),
      ["none", "none", "none"], // Nothing begins a search but search.created.
    ],
    [
      "without retraining, from its beginning",
      [...whole(bare).slice(0, 1), ...whole(bare).slice(-3)],
      [
        "PENDING SEARCHING train:0",
        "RUNNING DERIVING derive:0",
        "RUNNING PROFILING_NETWORK profile:network",
        "RUNNING DONE succeeded",
      ],
    ],
    [
      "that is paused and resumed in every phase",
      [
        s.created,
        s.paused,
        s.resumed(1),
        s.epoch(1),
        s.paused,
        s.resumed(2),
        s.converged,
        s.paused,
        s.derived,
        s.resumed(3),
        s.trained,
        s.paused,
        s.profiled,
        s.resumed(4),
      ],
      [
        "PENDING SEARCHING train:0",
        "PAUSED SEARCHING -",
        "RUNNING SEARCHING train:1",
        "RUNNING SEARCHING train:1",
        "PAUSED SEARCHING -",
        "RUNNING SEARCHING train:2",
        "RUNNING DERIVING derive:2",
        "PAUSED DERIVING -",
        "PAUSED RETRAINING -",
        "RUNNING RETRAINING retrain:3",
        "RUNNING PROFILING_NETWORK profile:network-3",
        "PAUSED PROFILING_NETWORK -",
        "PAUSED DONE -",
        "RUNNING DONE succeeded",
      ],
    ],
    [
      "of a network that is given, paused and resumed",
      [given.created, given.paused, given.resumed(1), given.retrained(1), given.trained, given.profiled],
      [
        "PENDING RETRAINING retrain:0",
        "PAUSED RETRAINING -",
        "RUNNING RETRAINING retrain:1",
        "RUNNING RETRAINING retrain:1",
        "RUNNING PROFILING_NETWORK profile:network-1",
        "RUNNING DONE succeeded",
      ],
    ],
    [
      "of a network that is given, begun by its first epoch or by its end",
      [given.created, given.retrained(1)],
      ["PENDING RETRAINING retrain:0", "RUNNING RETRAINING retrain:0"],
    ],
    [
      "of a network that is given and whose first news is its end",
      [given.created, given.trained],
      ["PENDING RETRAINING retrain:0", "RUNNING PROFILING_NETWORK profile:network"],
    ],
    [
      "whose worker fails, even while it is paused",
      [s.created, s.paused, failed, searchFailed, s.epoch(1), s.paused, cancelled],
      [
        "PENDING SEARCHING train:0",
        "PAUSED SEARCHING -",
        "PAUSED SEARCHING failed:0",
        ...Array<string>(4).fill("FAILED SEARCHING -"),
      ],
    ],
    [
      "that fails, is resumed from where it was, fails again and is resumed again",
      [
        ...[s.created, s.epoch(1), failed, searchFailed, s.resumed(1)],
        // Reports of the first failure that come late.
        ...[failed, searchFailed],
        ...[again(failed), again(searchFailed), s.resumed(2), s.converged],
      ],
      [
        ...["PENDING SEARCHING train:0", "RUNNING SEARCHING train:0"],
        ...["RUNNING SEARCHING failed:0", "FAILED SEARCHING -"],
        ...Array<string>(3).fill("RUNNING SEARCHING train:1"),
        ...["RUNNING SEARCHING failed:1", "FAILED SEARCHING -"],
        ...["RUNNING SEARCHING train:2", "RUNNING DERIVING derive:2"],
      ],
    ],
    [
      "that fails while its worker still finishes, and is resumed after that",
      [s.created, s.epoch(1), searchFailed, s.converged, s.resumed(1)],
      [
        ...["PENDING SEARCHING train:0", "RUNNING SEARCHING train:0", "FAILED SEARCHING -", "FAILED DERIVING -"],
        "RUNNING DERIVING derive:1",
      ],
    ],
    [
      "that alarms pause, and that is resumed",
      [
        ...[s.created, s.epoch(1), alarm(1, REPORT), s.epoch(2), alarm(2, PAUSE)],
        // A trainer that has resumed publishes these again, without an effect.
        ...[s.resumed(1), alarm(2, PAUSE), s.epoch(3), alarm(3, PAUSE)],
      ],
      [
        "PENDING SEARCHING train:0",
        ...Array<string>(3).fill("RUNNING SEARCHING train:0"),
        "PAUSED SEARCHING -",
        ...Array<string>(3).fill("RUNNING SEARCHING train:1"),
        "PAUSED SEARCHING -",
      ],
    ],
    [
      "that an alarm fails",
      [s.created, s.epoch(1), alarm(1, FAIL), searchFailed],
      ["PENDING SEARCHING train:0", "RUNNING SEARCHING train:0", "RUNNING SEARCHING failed:0", "FAILED SEARCHING -"],
    ],
    [
      "that is cancelled",
      [s.created, s.epoch(1), cancelled, s.converged, failed, kept, s.derived],
      [
        ...["PENDING SEARCHING train:0", "RUNNING SEARCHING train:0"],
        ...Array<string>(3).fill("CANCELLED SEARCHING keep"),
        ...Array<string>(2).fill("CANCELLED SEARCHING -"),
      ],
    ],
    [
      "whose events come late",
      [s.created, s.derived, s.converged, s.epoch(2), s.operatorsProfiled],
      ["PENDING SEARCHING train:0", ...Array<string>(4).fill("PENDING RETRAINING retrain:0")].map((line, index) =>
        index > 1 ? line.replace("PENDING", "RUNNING") : line,
      ),
    ],
  ])("%s", (_name, events, expected) => {
    expect(course(events)).toEqual(expected);
  });
});

describe("the work of a phase", () => {
  const commandAfter = (events: readonly LatheEvent[]) => {
    const record = projectAll(undefined, stored(events));
    const command = record && nextCommand(record, host);
    return command?.do === "work" ? command.work : undefined;
  };

  it("trains with the MACs of the space, or with the operators that were measured", () => {
    expect(commandAfter([s.created])).toEqual({
      searchId: "s-abc",
      kind: "train",
      ordinal: 0,
      data: { spec: s.spec, space: s.space, costTable: macsTable(s.space), resumption: 0 },
    });
    const measured = commandAfter(whole(latency).slice(0, 2));
    expect(measured?.data).toMatchObject({ costTable: s.operatorsProfiled.data.table });
  });

  it("derives with the costs that the search aimed at", () => {
    const converged = whole().findIndex(({ type }) => type === "supernet.converged");
    expect(commandAfter(whole().slice(0, converged + 1))).toEqual({
      searchId: "s-abc",
      kind: "derive",
      ordinal: 0,
      data: { spec: s.spec, costTable: macsTable(s.space), resumption: 0 },
    });
    const measured = whole(latency);
    const at = measured.findIndex(({ type }) => type === "supernet.converged");
    expect(commandAfter(measured.slice(0, at + 1))?.data).toMatchObject({ costTable: s.operatorsProfiled.data.table });
  });

  it("profiles operators on the device class of the spec", () => {
    const { created, space } = search({ ...latency, profiling: { deviceClass: "orin" } });
    expect(commandAfter([created])).toMatchObject({ kind: "profile", deviceClass: "orin", ordinal: "operators" });
    expect(commandAfter([created])?.data).toMatchObject({ space, onnx: undefined });
  });

  it("retrains from the inherited weights and profiles the network that is the result", () => {
    const events = whole();
    expect(commandAfter(events.slice(0, 7))?.data).toMatchObject({
      genotype: s.derived.data.genotype,
      weights: s.derived.data.weights,
    });
    expect(commandAfter(events.slice(0, -1))?.data).toMatchObject({ onnx: s.trained.data.onnx, space: undefined });
    expect(commandAfter(whole(bare).slice(0, -1))?.data).toMatchObject({ onnx: s.derived.data.onnx });
  });

  it("trains a given network from scratch, and profiles it", () => {
    expect(commandAfter([given.created])).toMatchObject({ kind: "retrain", ordinal: 0 });
    expect(commandAfter([given.created])?.data).toEqual({
      spec: given.spec,
      genotype,
      weights: undefined,
      resumption: 0,
    });
    expect(commandAfter([given.created, given.trained])?.data).toMatchObject({
      genotype,
      onnx: given.trained.data.onnx,
    });
  });

  it("keeps the network of a cancelled search with the costs that it aimed at, once an epoch has ended", () => {
    const data = { spec: s.spec, costTable: macsTable(s.space) };
    const item = { searchId: "s-abc", kind: "keep", ordinal: "cancelled" };
    for (const events of [
      [s.epoch(1)],
      [s.epoch(1), s.paused],
      [s.converged, s.derived],
      [s.converged, s.derived, s.trained],
    ])
      expect(commandAfter([s.created, ...events, cancelled])).toEqual({ ...item, data });
    const byLatency = commandAfter([...whole(latency).slice(0, 3), cancelled]);
    expect(byLatency?.data).toMatchObject({ costTable: s.operatorsProfiled.data.table });
    for (const events of [[s.created], [given.created], [search(latency).created, s.operatorsProfiled]])
      expect(nextCommand(projectAll(undefined, stored([...events, cancelled]))!, host)).toMatchObject({
        id: "keep",
        event: { type: "network.kept", data: { genotype: undefined, reason: "NOT_TRAINED" } },
      });
    expect(nextCommand(projectAll(undefined, stored([s.created, s.epoch(1), cancelled, kept]))!, host)).toBeUndefined();
  });

  it("fails with the name of a field that an event lacks", () => {
    const data = { ...s.derived.data, weights: undefined };
    expect(() => commandAfter([s.created, { type: "architecture.derived", data }])).toThrow(
      "search s-abc has no weights of the derived network",
    );
  });
});

describe("a cancelled search", () => {
  const after = (...events: LatheEvent[]) => projectAll(undefined, stored([s.created, ...events]))!.search;
  const condition = (found: ReturnType<typeof after>) => found.conditions.find(({ type }) => type === "Kept");

  it("shows the network that is kept, with its figures and files, and stays cancelled", () => {
    const found = after(s.epoch(1), cancelled, kept);
    expect(found.state).toBe(SearchState.SEARCH_STATE_CANCELLED);
    expect(condition(found)).toMatchObject({ status: ConditionStatus.CONDITION_STATUS_TRUE, message: "the argmax" });
    expect(found.result).toMatchObject({
      ...{ genotype, decidedBy: DecidedBy.DECIDED_BY_ARGMAX, figures: { params: 5, macs: 6 }, costRatio: 0.5 },
      ...{ supernetMiou: 0.75, discreteMiou: 0.25, discretizationGap: 0.5 },
    });
    expect(found.artifacts.map(({ kind }) => kind)).toEqual(["derived.onnx", "derived.weights"]);
  });

  it("adds the best epoch of retraining to what is known of the derived network", () => {
    const figures = { phase: "retrain", epoch: 4, validationMiou: 0.375, supernetMiou: 0, onnx: file("network.onnx") };
    const retrained = { ...kept, data: { ...kept.data, ...figures } } as LatheEvent;
    const found = after(s.converged, s.derived, cancelled, retrained);
    expect(found.result).toMatchObject({
      ...{ genotype: s.derived.data.genotype, discreteMiou: s.derived.data.discreteMiou },
      ...{ retrainedMiou: 0.375, retrainedBestEpoch: 4, figures: { params: 5, macs: 6 } },
    });
    expect(found.artifacts.map(({ kind }) => kind)).toContain("network.onnx");
  });

  it("says why nothing is kept", () => {
    const data = NetworkKept.fromPartial({ reason: "OBJECT_NOT_FOUND", message: "it is gone" });
    const found = after(s.epoch(1), cancelled, { type: "network.kept", data });
    expect(condition(found)).toMatchObject({
      ...{ status: ConditionStatus.CONDITION_STATUS_FALSE, reason: "OBJECT_NOT_FOUND", message: "it is gone" },
    });
    expect([found.state, found.artifacts]).toEqual([SearchState.SEARCH_STATE_CANCELLED, []]);
  });
});

describe("the result", () => {
  it("holds every result of the events, and its provenance", () => {
    const record = projectAll(undefined, stored(whole()))!;
    const command = nextCommand(record, host);
    const result = command?.do === "publish" && command.event.type === "search.succeeded" && command.event.data.result;
    expect(result).toMatchObject({
      genotype: s.derived.data.genotype,
      decidedBy: DecidedBy.DECIDED_BY_SHRINKING,
      convergedEpoch: 1,
      supernetMiou: 0.41,
      discreteMiou: 0.4,
      discretizationGap: 0.01,
      retrainedMiou: 0.6,
      retrainedBestEpoch: 2,
      figures: { params: 30, macs: 40 },
      latency: { p50Seconds: 0.004 },
      searchSeconds: 11,
      retrainingSeconds: 22,
      classScores: [{ name: "road" }],
      costRatio: 0.6,
      costTarget: s.spec.cost.target,
      costMiss: "",
      provenance: {
        ...host,
        seed: s.spec.seed,
        specSha256: specDigest(s.spec),
        startedAt: new Date(start),
        finishedAt: new Date(start + 1000 * (whole().length - 1)),
      },
    });
    expect(result && result.artifacts.map(({ kind }) => kind)).toEqual([
      "checkpoint",
      "derived.onnx",
      "derived.weights",
      "network.onnx",
      "network.weights",
      "predictions/1.png",
    ]);
    expect(record.search.conditions.map(({ type, status }) => [type, status])).toEqual(
      ["Converged", "Derived", "CostTarget", "Trained", "Profiled"].map((type) => [
        type,
        ConditionStatus.CONDITION_STATUS_TRUE,
      ]),
    );
    const end = stored([...whole(), { type: "search.succeeded", data: { result: result || undefined } }]).at(-1)!;
    expect(project(record, end)?.search).toMatchObject({
      state: SearchState.SEARCH_STATE_SUCCEEDED,
      phase: SearchPhase.SEARCH_PHASE_DONE,
      result: { provenance: { latheVersion: "1.2.3" } },
    });
  });

  it("of a sampling search has its choice and its cost, and no supernet", () => {
    const sampling = search({ algorithm: { kind: AlgorithmKind.ALGORITHM_KIND_RANDOM, genotype: undefined } });
    const { sampled, candidate, selected, trained, profiled } = sampling;
    const events = [sampling.created, sampled(1), candidate(1), sampled(2), candidate(2), selected, trained, profiled];
    const phases = events.map((_, at) => projectAll(undefined, stored(events.slice(0, at + 1)))!.search.phase);
    expect(phases.map((phase) => SearchPhase[phase].replace("SEARCH_PHASE_", ""))).toEqual([
      ...Array<string>(5).fill("SEARCHING"),
      ...["RETRAINING", "PROFILING_NETWORK", "DONE"],
    ]);
    const half = projectAll(undefined, stored(events.slice(0, 4)))!.search;
    // An event that is stored twice counts once.
    const twice = projectAll(undefined, stored([...events.slice(0, 4), sampled(2), candidate(1)]))!.search;
    for (const { result } of [half, twice])
      expect(result).toMatchObject({ candidatesEvaluated: 1, searchSeconds: 6.5 });
    const { result, conditions, candidatesLeft } = projectAll(undefined, stored(events))!.search;
    expect(result).toMatchObject({
      ...{ decidedBy: DecidedBy.DECIDED_BY_SELECTION, discreteMiou: 0.32, supernetMiou: 0, discretizationGap: 0 },
      ...{ candidatesEvaluated: 2, trainingImages: 960, searchSeconds: 7, candidatesLeft: 0, costMiss: "" },
      provenance: { engine: "an engine" },
    });
    expect(candidatesLeft).toBe(0);
    expect(conditions.map(({ type }) => type)).toEqual(["Derived", "CostTarget", "Trained", "Profiled"]);
    expect(conditions[0]?.message).toBe("the network is the best of 2, at 32.0 mIoU points");
    expect(conditions[1]?.status).toBe(ConditionStatus.CONDITION_STATUS_TRUE);
  });

  it("of a given network has no results of a search", () => {
    const trained: LatheEvent = { type: "network.trained", data: { ...given.trained.data, engine: "an engine" } };
    const record = projectAll(undefined, stored([given.created, given.retrained(1), trained, given.profiled]))!;
    const command = nextCommand(record, host);
    const result = command?.do === "publish" && command.event.type === "search.succeeded" && command.event.data.result;
    expect(result).toMatchObject({
      genotype,
      decidedBy: DecidedBy.DECIDED_BY_UNSPECIFIED,
      retrainedMiou: 0.6,
      figures: { params: 30, macs: 40 },
      latency: { p50Seconds: 0.004 },
      retrainingSeconds: 22,
      provenance: { engine: "an engine", seed: given.spec.seed },
      ...{ candidatesStart: 0, candidatesLeft: 0, log10SpaceStart: 0, supernetMiou: 0, discretizationGap: 0 },
    });
    expect(record.search.conditions.map(({ type }) => type)).toEqual(["Trained", "Profiled"]);
    expect(recordCodec.fromJSON(JSON.parse(JSON.stringify(recordCodec.toJSON(record))))).toEqual(record);
  });

  it("reports that argmax decided, and that retraining was left out", () => {
    const byArgmax: LatheEvent = {
      type: "supernet.converged",
      data: { ...s.converged.data, decidedBy: DecidedBy.DECIDED_BY_ARGMAX, convergedEpoch: 0 },
    };
    const record = projectAll(undefined, stored([search(bare).created, byArgmax, s.derived]))!;
    expect(record.search.conditions).toMatchObject([
      { type: "Converged", status: ConditionStatus.CONDITION_STATUS_FALSE, reason: "DECIDED_BY_ARGMAX" },
      { type: "Derived", status: ConditionStatus.CONDITION_STATUS_TRUE },
      { type: "CostTarget", status: ConditionStatus.CONDITION_STATUS_TRUE },
      { type: "Trained", status: ConditionStatus.CONDITION_STATUS_FALSE, reason: "RETRAINING_OFF" },
    ]);
  });

  describe("reports the cost target as", () => {
    const target = { target: 0.4, weight: 3000 };
    const costTarget = (cost: { target?: number; weight?: number } | undefined, figures: [number, number]) => {
      const spec = { ...s.spec, cost: cost && CostSpec.fromPartial(cost) };
      const created: LatheEvent = { type: "search.created", data: { spec, space: s.space, specSha256: "" } };
      const [costRatio, smallestCostRatio] = figures;
      const derived: LatheEvent = { ...s.derived, data: { ...s.derived.data, costRatio, smallestCostRatio } };
      const { search: found } = projectAll(undefined, stored([created, s.converged, derived]))!;
      const condition = found.conditions.find(({ type }) => type === "CostTarget");
      expect(found.result?.costMiss).toBe(condition?.message);
      return `${condition?.reason}${condition?.status === ConditionStatus.CONDITION_STATUS_FALSE ? ": " + condition.message : ""}`;
    };

    it.each([0.36, 0.4, 0.44])("met within a tenth of the target: %d", (costRatio) => {
      expect(costTarget(target, [costRatio, 0.2])).toBe("COST_MET");
    });

    it("missed where the space cannot reach it, with the cost of the smallest network", () => {
      expect(costTarget(target, [0.5, 0.45])).toBe(
        "COST_MISSED: the network costs 50.0 % of the largest, the target is 40.0 %: the smallest network of the space costs 45.0 %; give space smaller widths or depths",
      );
    });

    it("missed where the space can reach it, with the settings to change", () => {
      expect(costTarget(target, [0.3, 0.2])).toMatch(
        /^COST_MISSED: .*costs 30.0 % .* can reach \(from 20.0 % on\): raise cost.weight or set cost.adapt/,
      );
    });

    it.each([
      ["no target", { weight: 1 }],
      ["no weight", { target: 0.4, weight: 0 }],
      ["no cost", undefined],
    ])("met with %s", (_, cost) => {
      expect(costTarget(cost, [0.9, 0.2])).toBe("COST_MET");
    });
  });

  it("reports why a worker has paused a search, until the search is resumed", () => {
    const data = { reason: "DATASET_UNREACHABLE", message: "camvid folder /data does not exist" };
    const paused = [s.created, s.paused, s.resumed(1), { type: "search.paused", data } as const];
    const conditions = (events: readonly LatheEvent[]) => projectAll(undefined, stored(events))!.search.conditions;
    const { CONDITION_STATUS_TRUE, CONDITION_STATUS_FALSE } = ConditionStatus;
    expect(conditions(paused)).toMatchObject([{ type: "Paused", status: CONDITION_STATUS_TRUE, ...data }]);
    expect(conditions([...paused, s.resumed(2)])).toMatchObject([
      { type: "Paused", status: CONDITION_STATUS_FALSE, reason: "RESUMED" },
    ]);
  });

  it("reports why a search has failed", () => {
    const record = projectAll(undefined, stored([s.created, failed, searchFailed]))!;
    expect(record.search.conditions).toMatchObject([
      { type: "Failed", reason: "DATASET_INVALID", message: "no train.txt", changedAt: new Date(start + 2000) },
    ]);
    expect(record.failure).toBeUndefined();
  });

  it("keeps the cause of a failure that a resumption has followed", () => {
    const record = projectAll(undefined, stored([s.created, failed, searchFailed, s.resumed(1)]))!;
    expect(record.search.conditions).toMatchObject([
      {
        type: "Failed",
        status: ConditionStatus.CONDITION_STATUS_FALSE,
        reason: "RESUMED",
        message: "resumed after DATASET_INVALID: no train.txt",
      },
    ]);
  });
});

describe("a projection", () => {
  const full = stored([...whole(latency), { type: "search.succeeded", data: { result: undefined } }]);
  const once = projectAll(undefined, full);

  it("is the same when the whole history is delivered twice", () => {
    expect(projectAll(once, full)).toBe(once);
    expect(projectAll(undefined, [...full, ...full])).toEqual(once);
  });

  it("is the same when facts are stored a second time, the oldest last", () => {
    const events = stored([...whole(), s.paused, s.resumed(1)]);
    const facts = events.filter(({ event }) => event.type !== "search.paused").reverse();
    const again = facts.map((one, index) => ({ ...one, sequence: 1000 + index }));
    const once = projectAll(undefined, events)!;
    const twice = projectAll(once, again)!;
    expect(twice).toEqual({ ...once, search: { ...once.search, lastSequence: again.at(-1)?.sequence } });
  });

  it("is the same whatever is delivered again, and wherever it was cut and stored", () => {
    for (let seed = 1; seed <= 100; seed++) {
      const random = uniform(seed);
      let record: SearchRecord | undefined;
      for (let at = 0; at < full.length; at++) {
        record = project(record, full[at]!);
        for (let back = 0; back <= at; back++) if (random() < 0.3) record = project(record, full[back]!);
        if (random() < 0.5) record = recordCodec.fromJSON(JSON.parse(JSON.stringify(recordCodec.toJSON(record!))));
      }
      expect(record).toEqual(once);
    }
  });

  it("is stored as a Search that any service may read, in a fraction of a message", () => {
    const json = JSON.stringify(recordCodec.toJSON(once!));
    expect(Search.fromJSON(JSON.parse(json))).toEqual(once!.search);
    expect(json.length).toBeLessThan(20_000);
  });
});

describe("the health of a search", () => {
  const after = (...events: LatheEvent[]) => projectAll(undefined, stored([s.created, ...events]))!;
  const conditionOf = ({ search: found }: SearchRecord) => found.conditions.find(({ type }) => type === "Healthy");
  const drop = HealthAlarmKind.HEALTH_ALARM_KIND_MIOU_DROP;
  const stale = HealthAlarmKind.HEALTH_ALARM_KIND_PLATEAU;

  it("is a condition: true after the first epoch, false from an alarm until the alarm's condition has ended", () => {
    expect(conditionOf(after())).toBeUndefined();
    const well = after(epochWith(1), epochWith(2));
    expect(conditionOf(well)).toMatchObject({ status: ConditionStatus.CONDITION_STATUS_TRUE, reason: "NO_ALARM" });
    expect(conditionOf(well)?.changedAt).toEqual(new Date(start + 1000));
    const ill = [epochWith(1), epochWith(2, drop), alarm(2, REPORT)];
    expect(conditionOf(after(...ill))).toMatchObject({
      status: ConditionStatus.CONDITION_STATUS_FALSE,
      reason: "MIOU_DROP",
      message: "ill at 2",
    });
    expect(conditionOf(after(...ill, epochWith(3, drop)))?.reason).toBe("MIOU_DROP");
    expect(conditionOf(after(...ill, epochWith(3)))?.reason).toBe("NO_ALARM");
  });

  it("stays true on a plateau", () => {
    const plateau = [epochWith(1, stale), alarm(1, HealthPolicy.HEALTH_POLICY_STOP, stale)];
    expect(conditionOf(after(...plateau))?.reason).toBe("NO_ALARM");
  });

  it("provides the reason where an alarm fails the search; an early stop is in the result", () => {
    expect(nextCommand(after(s.epoch(1), alarm(1, FAIL)), host)).toMatchObject({
      event: { type: "search.failed", data: { phase: "train", reason: "MIOU_DROP", message: "ill at 1" } },
    });
    const data = { ...s.converged.data, decidedBy: DecidedBy.DECIDED_BY_ARGMAX, stoppedEarly: true, epochs: 2 };
    const { search: stopped } = after(s.epoch(1), { type: "supernet.converged", data });
    expect(stopped.result?.stoppedEarly).toBe(true);
    expect(stopped.conditions.find(({ type }) => type === "Converged")?.message).toMatch(/^an alarm ended .* epoch 2 /);
  });
});
