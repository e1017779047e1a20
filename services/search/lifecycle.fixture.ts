import type { LatheEvent, StoredEvent } from "../../shared/events/catalog";
import { HealthAlarmRaised, NetworkKept } from "../../shared/proto/lathe/v1/events";
import { DecidedBy, HealthAlarmKind } from "../../shared/proto/lathe/v1/result";
import { CostMetric } from "../../shared/proto/lathe/v1/space";
import { AlgorithmKind, CostSpec, HealthPolicy, type SearchSpec } from "../../shared/proto/lathe/v1/spec";
import { largestGenotype } from "../../shared/space/genotype";
import { resolve, specDigest } from "../../shared/spec/resolve";
import { tinySpec, workerEvents } from "../../shared/testing/searches";

export const host = { latheVersion: "1.2.3", nodeVersion: "v20", platform: "linux x64", cpu: "a cpu" };
export const start = Date.UTC(2026, 0, 1);

/** The events as stored: sequences with gaps, a second apart. */
export function stored(events: readonly LatheEvent[]): StoredEvent[] {
  return events.map((event, index) => ({
    sequence: 10 + 3 * index,
    time: new Date(start + 1000 * index),
    searchId: "s-abc",
    event,
  }));
}

export function search(overrides: Partial<SearchSpec> = {}) {
  const { spec, space } = resolve(tinySpec(overrides));
  const events = workerEvents(space);
  const created: LatheEvent = { type: "search.created", data: { spec, space, specSha256: specDigest(spec) } };
  const paused: LatheEvent = { type: "search.paused", data: {} };
  const resumed = (resumption: number): LatheEvent => ({ type: "search.resumed", data: { resumption } });
  return { spec, space, created, paused, resumed, ...events };
}

export function whole(overrides: Partial<SearchSpec> = {}): LatheEvent[] {
  const s = search(overrides);
  return [
    s.created,
    ...(s.spec.cost.metric === CostMetric.COST_METRIC_LATENCY ? [s.operatorsProfiled] : []),
    ...[s.epoch(1), s.shrunk(1), s.epoch(2), s.kept(2), s.converged, s.derived],
    ...(s.spec.retraining.epochs > 0 ? [s.retrained(1), s.retrained(2), s.trained] : []),
    s.profiled,
  ];
}

export const s = search();
export const latency = { cost: CostSpec.fromPartial({ metric: CostMetric.COST_METRIC_LATENCY }) };
export const bare = { retraining: { epochs: 0 } };
export const genotype = largestGenotype(s.space);

/** A search of a given network. Its operators are not measured, although its cost is latency. */
export const given = search({ ...latency, algorithm: { kind: AlgorithmKind.ALGORITHM_KIND_FIXED, genotype } });
export const failed: LatheEvent = {
  type: "work.failed",
  data: { phase: "train", reason: "DATASET_INVALID", message: "no train.txt", deliveries: 1, resumption: 0 },
};

export const searchFailed: LatheEvent = {
  type: "search.failed",
  data: { phase: "train", reason: "DATASET_INVALID", message: "no train.txt", resumption: 0 },
};

export const alarm = (
  epoch: number,
  policy: HealthPolicy,
  kind = HealthAlarmKind.HEALTH_ALARM_KIND_MIOU_DROP,
): LatheEvent => ({
  type: "health.alarm.raised",
  data: HealthAlarmRaised.fromPartial({ kind, epoch, policy, message: `ill at ${epoch}` }),
});

export const { HEALTH_POLICY_REPORT: REPORT, HEALTH_POLICY_PAUSE: PAUSE, HEALTH_POLICY_FAIL: FAIL } = HealthPolicy;
export const cancelled: LatheEvent = { type: "search.cancelled", data: { reason: "enough" } };
export const file = (kind: string) => ({ object: `s-abc/${kind}`, kind, sizeBytes: 1, sha256: "00", mediaType: "" });
export const kept: LatheEvent = {
  type: "network.kept",
  data: NetworkKept.fromPartial({
    ...{ phase: "train", epoch: 1, genotype, decidedBy: DecidedBy.DECIDED_BY_ARGMAX, message: "the argmax" },
    ...{ validationMiou: 0.25, supernetMiou: 0.75, figures: { params: 5, macs: 6 }, costRatio: 0.5 },
    ...{ onnx: file("derived.onnx"), weights: file("derived.weights") },
  }),
};
