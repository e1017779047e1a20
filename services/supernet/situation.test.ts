import type { EventData, EventName, LatheEvent, StoredEvent } from "../../shared/events/catalog";
import {
  CandidateEvaluated,
  EpochCompleted,
  RetrainingEpochCompleted,
  SamplingEpochCompleted,
  SpaceShrunk,
} from "../../shared/proto/lathe/v1/events";
import { HealthAlarmKind, RemovalReason, type ArtifactRef } from "../../shared/proto/lathe/v1/result";
import { HealthPolicy } from "../../shared/proto/lathe/v1/spec";
import { decisionOn, situation, stopsWorker } from "./situation";

const ref = (object: string): ArtifactRef => ({ object, kind: "checkpoint", sizeBytes: 1, sha256: "", mediaType: "" });
const event = <N extends EventName>(type: N, data: object = {}): LatheEvent =>
  ({ type, data: data as EventData<N> }) as LatheEvent;
const epoch = (n: number) =>
  event("epoch.completed", EpochCompleted.fromPartial({ metrics: { epoch: n }, checkpoint: ref(`c${n}`) }));
const retrained = (n: number) =>
  event("retraining.epoch.completed", RetrainingEpochCompleted.fromPartial({ epoch: n, checkpoint: ref(`r${n}`) }));
/** Sequences are those of a stream that other searches write to as well. */
const history = (events: LatheEvent[]): StoredEvent[] =>
  events.map((each, index) => ({ sequence: 10 + 3 * index, time: new Date(0), searchId: "s-1", event: each }));

const created = event("search.created");
const paused = event("search.paused");
const resumed = (resumption: number) => event("search.resumed", { resumption });
const alarm = (policy: HealthPolicy) =>
  event("health.alarm.raised", { kind: HealthAlarmKind.HEALTH_ALARM_KIND_MIOU_DROP, policy });
const { HEALTH_POLICY_REPORT: REPORT, HEALTH_POLICY_PAUSE: PAUSE, HEALTH_POLICY_FAIL: FAIL } = HealthPolicy;
const converged = event("supernet.converged");
const trained = event("network.trained");
const selected = event("architecture.derived");
const sampled = (n: number) =>
  event("sampling.epoch.completed", SamplingEpochCompleted.fromPartial({ epoch: n, checkpoint: ref(`s${n}`) }));
const candidate = (n: number, validationMiou = 0.1 * n) =>
  event("candidate.evaluated", CandidateEvaluated.fromPartial({ index: n, validationMiou, genotype: {} }));

describe("a search that evaluates networks", () => {
  it("stands at its newest epoch, with each network once and in order, whatever is told again", () => {
    const events = [created, sampled(1), candidate(1), sampled(2), candidate(2), candidate(1, 0.9), sampled(1)];
    const found = situation(history(events), "train", 0);
    expect(found.samplingEpoch?.checkpoint?.object).toBe("s2");
    expect(found.candidates.map(({ index, validationMiou }) => [index, validationMiou])).toEqual([
      [1, 0.1],
      [2, 0.2],
    ]);
    expect(found.epoch).toBeUndefined();
  });
});

describe("situation", () => {
  it.each<[string, "train" | "retrain", number, LatheEvent[], string | undefined]>([
    ["a new search", "train", 0, [created], undefined],
    ["a search under way", "train", 0, [created, epoch(1)], undefined],
    ["a paused search", "train", 0, [created, paused], "the search is paused"],
    [
      "its first item after it was resumed",
      "train",
      0,
      [created, paused, resumed(1)],
      "resumption 1 has taken its place",
    ],
    ["the item of that resumption", "train", 1, [created, paused, resumed(1)], undefined],
    ["that item, paused again", "train", 1, [created, paused, resumed(1), paused], "the search is paused"],
    [
      "that item after another",
      "train",
      1,
      [created, paused, resumed(1), paused, resumed(2)],
      "resumption 2 has taken its place",
    ],
    ["a cancelled search", "train", 0, [created, event("search.cancelled")], "the search has ended (search.cancelled)"],
    ["a failed search", "retrain", 0, [created, event("search.failed")], "the search has ended (search.failed)"],
    [
      "a finished search",
      "retrain",
      0,
      [created, trained, event("search.succeeded")],
      "the search has ended (search.succeeded)",
    ],
    [
      "a search that is failing",
      "train",
      0,
      [created, event("work.failed", { reason: "DATASET_INVALID" })],
      "the search is failing (DATASET_INVALID)",
    ],
    ["networks that are being evaluated", "train", 0, [created, sampled(1), candidate(1)], undefined],
    ["a network that was chosen", "train", 0, [created, candidate(1), selected], "the network is derived"],
    ["the retraining of a network that was chosen", "retrain", 0, [created, candidate(1), selected], undefined],
    ["a search with an alarm", "train", 0, [created, epoch(1), alarm(REPORT)], undefined],
    ["a search that an alarm has paused", "train", 0, [created, epoch(1), alarm(PAUSE)], "the search is paused"],
    ["its resumption", "train", 1, [created, epoch(1), alarm(PAUSE), resumed(1)], undefined],
    ["a search that an alarm fails", "train", 0, [created, epoch(1), alarm(FAIL)], "the search is failing (MIOU_DROP)"],
    ["a trained supernet", "train", 0, [created, epoch(1), converged], "the supernet is trained"],
    ["a trained supernet, to retrain", "retrain", 0, [created, epoch(1), converged], undefined],
    ["a trained network", "retrain", 0, [created, converged, retrained(1), trained], "the network is trained"],
  ])("finds %s (%s, resumption %d)", (_, phase, resumption, events, skip) => {
    expect(situation(history(events), phase, resumption).skip).toBe(skip);
  });

  it("finds the newest epochs, their checkpoints and the newest sequence", () => {
    const found = situation(history([created, epoch(1), event("space.kept", { epoch: 1 }), epoch(2)]), "train", 0);
    expect(found).toEqual({
      skip: undefined,
      epoch: { number: 2, checkpoint: ref("c2"), sequence: 19, alarms: [] },
      retraining: undefined,
      samplingEpoch: undefined,
      candidates: [],
      sequence: 19,
    });
    expect(situation(history([created, retrained(1), retrained(2)]), "retrain", 0).retraining?.checkpoint).toEqual(
      ref("r2"),
    );
    const again = situation(history([created, epoch(1), epoch(2), epoch(1), epoch(2)]), "train", 0);
    expect(again).toMatchObject({ epoch: { number: 2, sequence: 16 }, sequence: 22 });
    expect(situation(history([retrained(1), retrained(2), retrained(1)]), "retrain", 0).retraining?.epoch).toBe(2);
    expect(situation([], "train", 0)).toEqual({
      skip: undefined,
      epoch: undefined,
      retraining: undefined,
      samplingEpoch: undefined,
      candidates: [],
      sequence: 0,
    });
  });
});

describe("decisionOn", () => {
  const on = (each: LatheEvent) => decisionOn(3, history([each])[0]!);
  const architecture = { groups: [{ id: "stage1/depth", dimension: 1, alphas: [0], survivors: [1] }] };
  const shrunk = (data: Parameters<typeof SpaceShrunk.fromPartial>[0]) =>
    event("space.shrunk", SpaceShrunk.fromPartial({ epoch: 3, architecture, ...data }));
  const removal = (reason: RemovalReason) => ({ group: "stage1/depth", candidate: 0, reason });

  it.each<[string, LatheEvent, unknown]>([
    ["kept", event("space.kept", { epoch: 3, converged: false }), { converged: false, byBudget: false }],
    ["kept, converged", event("space.kept", { epoch: 3, converged: true }), { converged: true, byBudget: false }],
    ["kept after another epoch", event("space.kept", { epoch: 2, converged: false }), undefined],
    [
      "shrunk",
      shrunk({ removals: [removal(RemovalReason.REMOVAL_REASON_THRESHOLD)] }),
      { architecture, converged: false, byBudget: false },
    ],
    [
      "shrunk to the end by threshold",
      shrunk({ converged: true, removals: [removal(RemovalReason.REMOVAL_REASON_THRESHOLD)] }),
      { architecture, converged: true, byBudget: false },
    ],
    [
      "shrunk to the end by budget",
      shrunk({
        converged: true,
        removals: [RemovalReason.REMOVAL_REASON_THRESHOLD, RemovalReason.REMOVAL_REASON_BUDGET].map(removal),
      }),
      { architecture, converged: true, byBudget: true },
    ],
    ["shrunk after another epoch", shrunk({ epoch: 4 }), undefined],
    ["another event", epoch(3), undefined],
  ])("%s", (_, each, decision) => {
    expect(on(each)).toEqual(decision);
  });
});

it.each<[LatheEvent, string | undefined]>([
  [paused, "SEARCH_PAUSED"],
  [event("search.cancelled"), "SEARCH_CANCELLED"],
  [event("search.failed"), "SEARCH_FAILED"],
  [event("work.failed"), "SEARCH_FAILED"],
  [alarm(PAUSE), "SEARCH_PAUSED"],
  [alarm(FAIL), "SEARCH_FAILED"],
  [alarm(REPORT), undefined],
  [resumed(1), undefined],
  [epoch(1), undefined],
  [event("space.kept", { epoch: 1 }), undefined],
])("stopsWorker: %p", (each, reason) => {
  expect(stopsWorker(history([each])[0]!)).toBe(reason);
});
