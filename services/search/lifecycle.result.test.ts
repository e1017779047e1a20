import type { LatheEvent } from "../../shared/events/catalog";
import { OperatorsProfiled, type NetworkKept } from "../../shared/proto/lathe/v1/events";
import { macsTable } from "../../shared/space/cost";
import { smallSpace } from "../../shared/testing/networks";
import { DecidedBy, EpochHealth, HealthAlarmKind } from "../../shared/proto/lathe/v1/result";
import { ConditionStatus, SearchPhase, SearchState } from "../../shared/proto/lathe/v1/search";
import { AlgorithmKind, CostSpec, HealthPolicy } from "../../shared/proto/lathe/v1/spec";
import { specDigest } from "../../shared/spec/resolve";
import { nextCommand } from "./commands";
import { project, projectAll } from "./lifecycle";
import { recordCodec, type SearchRecord } from "./record";
import {
  cancelled,
  host,
  kept,
  start,
  stored,
  search,
  whole,
  s,
  bare,
  genotype,
  given,
  failed,
  searchFailed,
  alarm,
  REPORT,
  FAIL,
} from "./lifecycle.fixture";

/** An epoch after which the conditions of these alarms hold. */
const epochWith = (n: number, ...standing: HealthAlarmKind[]): LatheEvent => {
  const { data } = s.epoch(n) as Extract<LatheEvent, { type: "epoch.completed" }>;
  return {
    type: "epoch.completed",
    data: { ...data, metrics: { ...data.metrics!, health: EpochHealth.fromPartial({ standing }) } },
  };
};
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
      discreteMiouClasses: 2,
      discretizationGap: 0.01,
      retrainedMiou: 0.6,
      retrainedMiouClasses: 1,
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
      "deploy.onnx",
      "predictions/1.png",
      "confusion.json",
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

  it("has a false condition where a table of latencies predicts badly, and only then", () => {
    const conditions = (meanError: number, rankCorrelation: number) => {
      const table = { ...macsTable(smallSpace()), check: { networks: 12, meanError, rankCorrelation } };
      const profiled: LatheEvent = { type: "operators.profiled", data: OperatorsProfiled.fromPartial({ table }) };
      return projectAll(undefined, stored([s.created, profiled]))!.search.conditions;
    };
    expect(conditions(0.1, 0.95)).toEqual([]);
    for (const [error, correlation] of [
      [0.101, 1],
      [0, 0.949],
    ] as const)
      expect(conditions(error, correlation)).toMatchObject([
        { type: "CostTable", status: ConditionStatus.CONDITION_STATUS_FALSE, reason: "INACCURATE" },
      ]);
    expect(conditions(0.123, 0.9)[0]?.message).toBe(
      "on 12 measured networks of the space, the mean error of predicted latencies is 12.3 %, should be at most 10 %; their rank correlation is 0.900, should be at least 0.95",
    );
  });

  it("has a false condition where the measurement of the network is unstable, and only then", () => {
    const latency = {
      ...given.profiled.data.latency!,
      unstableBecause: ["p95 is 3.0 times p50", "the machine is busy"],
    };
    const conditions = (profiled: LatheEvent) =>
      projectAll(undefined, stored([given.created, given.retrained(1), given.trained, profiled]))!.search.conditions;
    expect(conditions(given.profiled).filter(({ type }) => type === "Latency")).toEqual([]);
    expect(conditions({ type: "network.profiled", data: { latency } }).slice(-2)).toMatchObject([
      { type: "Profiled", status: ConditionStatus.CONDITION_STATUS_TRUE },
      {
        ...{ type: "Latency", status: ConditionStatus.CONDITION_STATUS_FALSE, reason: "UNSTABLE" },
        message: "p95 is 3.0 times p50; the machine is busy",
      },
    ]);
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

  it("is not that of its labels, which no epoch mends", () => {
    const labels = alarm(0, REPORT, HealthAlarmKind.HEALTH_ALARM_KIND_LABELS);
    const warned = after(labels, epochWith(1), epochWith(2, drop), alarm(2, REPORT), epochWith(3));
    expect(conditionOf(warned)?.reason).toBe("NO_ALARM");
    expect(warned.search.state).toBe(SearchState.SEARCH_STATE_RUNNING);
    expect(warned.search.conditions.find(({ type }) => type === "Labels")).toMatchObject({
      status: ConditionStatus.CONDITION_STATUS_FALSE,
      reason: "LABELS",
      message: "ill at 0",
    });
  });

  it("is not that of its data: a change stays in a condition and in the result", () => {
    const changed = alarm(2, REPORT, HealthAlarmKind.HEALTH_ALARM_KIND_DATA_CHANGED);
    const { search: told } = after(epochWith(1), changed, epochWith(2), epochWith(3));
    const data = { type: "Data", status: ConditionStatus.CONDITION_STATUS_FALSE, reason: "DATA_CHANGED" };
    expect(told.conditions).toMatchObject([
      { type: "Healthy", reason: "NO_ALARM" },
      { ...data, message: "ill at 2" },
    ]);
    expect(told.result?.dataChange).toBe("ill at 2");
    const derived = { ...s.derived.data, dataChange: "other files" };
    const { search: cut } = after(s.epoch(1), s.converged, { type: "architecture.derived", data: derived });
    expect(cut.conditions.find(({ type }) => type === "Data")).toMatchObject({ ...data, message: "other files" });
    expect(cut.result).toMatchObject({ dataChange: "other files", genotype: s.derived.data.genotype });
    const keeping = { ...(kept.data as NetworkKept), dataChange: "files gone" };
    const { search: over } = after(s.epoch(1), cancelled, { type: "network.kept", data: keeping });
    expect(over.conditions).toContainEqual(expect.objectContaining({ ...data, message: "files gone" }));
    expect(over.result).toMatchObject({ dataChange: "files gone", discreteMiou: 0.25 });
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
