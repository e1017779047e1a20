import type { EventData, EventName, LatheEvent, StoredEvent } from "../../shared/events/catalog";
import {
  CandidateEvaluated,
  EpochCompleted,
  RetrainingEpochCompleted,
  SamplingEpochCompleted,
  SpaceShrunk,
} from "../../shared/proto/lathe/v1/events";
import { RemovalReason, type ArtifactRef } from "../../shared/proto/lathe/v1/result";
import { decisionOn, resumptionOf } from "./resumption";

const ref = (object: string): ArtifactRef => ({ object, kind: "checkpoint", sizeBytes: 1, sha256: "", mediaType: "" });
const event = <N extends EventName>(type: N, data: object = {}): LatheEvent =>
  ({ type, data: data as EventData<N> }) as LatheEvent;
const epoch = (n: number) =>
  event("epoch.completed", EpochCompleted.fromPartial({ metrics: { epoch: n }, checkpoint: ref(`c${n}`) }));
const retrained = (n: number) =>
  event("retraining.epoch.completed", RetrainingEpochCompleted.fromPartial({ epoch: n, checkpoint: ref(`r${n}`) }));
/** Sequences have gaps, because other searches write to the same stream. */
const history = (events: LatheEvent[]): StoredEvent[] =>
  events.map((each, index) => ({ sequence: 10 + 3 * index, time: new Date(0), searchId: "s-1", event: each }));

const created = event("search.created");
const sampled = (n: number, candidate = 0) =>
  event(
    "sampling.epoch.completed",
    SamplingEpochCompleted.fromPartial({ epoch: n, candidate, seconds: n, checkpoint: ref(`s${n}`) }),
  );
const candidate = (n: number, validationMiou = 0.1 * n) =>
  event("candidate.evaluated", CandidateEvaluated.fromPartial({ index: n, validationMiou, genotype: {} }));

describe("a training goes on", () => {
  it("from the newest sampling epoch, with each network once and in order, even if events are stored twice", () => {
    const events = [created, sampled(1), candidate(1), sampled(2), candidate(2), candidate(1, 0.9), sampled(1)];
    const found = resumptionOf(history(events));
    expect(found.samplingEpochs.get(0)?.checkpoint?.object).toBe("s2");
    expect(found.samplingSeconds).toBe(1 + 2);
    expect(found.candidates.map(({ index, validationMiou }) => [index, validationMiou])).toEqual([
      [1, 0.1],
      [2, 0.2],
    ]);
    expect(found.epoch).toBeUndefined();
  });

  it("from the newest epoch of each network that is trained apart, in whichever order workers have told of them", () => {
    const events = [
      sampled(5, 2),
      candidate(2),
      sampled(1, 1),
      sampled(6, 2),
      sampled(2, 1),
      sampled(1, 1),
      candidate(1),
    ];
    const found = resumptionOf(history([created, ...events]));
    expect([...found.samplingEpochs].map(([number, { epoch: newest }]) => [number, newest])).toEqual([
      [2, 6],
      [1, 2],
    ]);
    expect(found.samplingSeconds).toBe(5 + 6 + 1 + 2);
    expect(found.candidates.map(({ index }) => index)).toEqual([1, 2]);
  });

  it("from the newest epoch of each training and its checkpoint", () => {
    const found = resumptionOf(history([created, epoch(1), event("space.kept", { epoch: 1 }), epoch(2)]));
    expect(found).toEqual({
      epoch: { number: 2, checkpoint: ref("c2"), sequence: 19, alarms: [] },
      retraining: undefined,
      samplingEpochs: new Map(),
      samplingSeconds: 0,
      candidates: [],
    });
    expect(resumptionOf(history([created, retrained(1), retrained(2)])).retraining?.checkpoint).toEqual(ref("r2"));
    const again = resumptionOf(history([created, epoch(1), epoch(2), epoch(1), epoch(2)]));
    expect(again).toMatchObject({ epoch: { number: 2, sequence: 16 } });
    expect(resumptionOf(history([retrained(1), retrained(2), retrained(1)])).retraining?.epoch).toBe(2);
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
