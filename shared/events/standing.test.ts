import { HealthAlarmKind } from "../proto/lathe/v1/result";
import { HealthPolicy } from "../proto/lathe/v1/spec";
import type { EventData, EventName, LatheEvent, StoredEvent } from "./catalog";
import { standing, stopReason, type Over } from "./standing";

const event = <N extends EventName>(type: N, data: object = {}): LatheEvent =>
  ({ type, data: data as EventData<N> }) as LatheEvent;
/** Stored events with gaps in the sequences, since other searches write to the stream as well. */
const history = (events: LatheEvent[]): StoredEvent[] =>
  events.map((each, index) => ({ sequence: 10 + 3 * index, time: new Date(0), searchId: "s-1", event: each }));

const created = event("search.created");
const paused = event("search.paused");
const resumed = (resumption: number) => event("search.resumed", { resumption });
const alarm = (policy: HealthPolicy) =>
  event("health.alarm.raised", { kind: HealthAlarmKind.HEALTH_ALARM_KIND_MIOU_DROP, policy });
const failing = event("work.failed", { reason: "DATASET_INVALID", resumption: 0 });
const failed = (resumption: number) => event("search.failed", { resumption });
const { HEALTH_POLICY_REPORT: REPORT, HEALTH_POLICY_PAUSE: PAUSE, HEALTH_POLICY_FAIL: FAIL } = HealthPolicy;
const epoch = event("epoch.completed");
const converged = event("supernet.converged");
const over: Over = { "supernet.converged": "the supernet is trained" };

describe("a work item", () => {
  it.each<[string, number, LatheEvent[], string | undefined]>([
    ["a new search", 0, [created], undefined],
    ["a search under way", 0, [created, epoch], undefined],
    ["a deleted search", 0, [], "the search is unknown: it has been deleted"],
    ["a deleted search whose worker went on", 0, [epoch], "the search is unknown: it has been deleted"],
    ["a paused search", 0, [created, paused], "the search is paused"],
    ["a search that was resumed after it", 0, [created, paused, resumed(1)], "resumption 1 has taken its place"],
    ["its resumption", 1, [created, paused, resumed(1)], undefined],
    ["a resumption that was paused", 1, [created, paused, resumed(1), paused], "the search is paused"],
    [
      "a resumption before another",
      1,
      [created, paused, resumed(1), paused, resumed(2)],
      "resumption 2 has taken its place",
    ],
    ["a search of which every resumption does", Infinity, [created, paused, resumed(1)], undefined],
    ["a cancelled search", 0, [created, event("search.cancelled")], "the search has ended (search.cancelled)"],
    [
      "a cancelled search, paused before",
      0,
      [created, paused, event("search.cancelled")],
      "the search has ended (search.cancelled)",
    ],
    ["a failed search", 0, [created, event("search.failed")], "the search has ended (search.failed)"],
    ["a finished search", 0, [created, event("search.succeeded")], "the search has ended (search.succeeded)"],
    [
      "a search that is failing",
      0,
      [created, event("work.failed", { reason: "DATASET_INVALID" })],
      "the search is failing (DATASET_INVALID)",
    ],
    ["a search that has failed and is resumed", 1, [created, failing, failed(0), resumed(1)], undefined],
    ["what it did before it failed", 0, [created, failing, failed(0), resumed(1)], "resumption 1 has taken its place"],
    ["a search that an alarm failed, resumed", 1, [created, alarm(FAIL), failed(0), resumed(1)], undefined],
    [
      "a search that fails again",
      1,
      [created, failing, failed(0), resumed(1), failed(1)],
      "the search has ended (search.failed)",
    ],
    ["a resumed search of which an earlier item fails late", 1, [created, failed(0), resumed(1), failing], undefined],
    [
      "a resumed search that was cancelled after it had failed",
      1,
      [created, failed(0), event("search.cancelled"), resumed(1)],
      undefined,
    ],
    ["a search with an alarm", 0, [created, epoch, alarm(REPORT)], undefined],
    ["a search that an alarm has paused", 0, [created, epoch, alarm(PAUSE)], "the search is paused"],
    ["its resumption after the alarm", 1, [created, epoch, alarm(PAUSE), resumed(1)], undefined],
    ["a search that an alarm fails", 0, [created, epoch, alarm(FAIL)], "the search is failing (MIOU_DROP)"],
    ["what is done already", 0, [created, epoch, converged], "the supernet is trained"],
  ])("of %s (resumption %d)", (_, resumption, events, skip) => {
    expect(standing(history(events), over, resumption)).toMatchObject({
      skip,
      sequence: events.includes(created) ? 7 + 3 * events.length : 0,
    });
  });

  it("of a repeated event is done by the one of its number or a later one", () => {
    const third: Over = { "architecture.measured": { why: "network 3 is measured", from: 3 } };
    const measured = (number: number) => event("architecture.measured", { number });
    const skip = (...events: LatheEvent[]) => standing(history([created, ...events]), third, 0).skip;
    expect(skip(measured(1), measured(2))).toBeUndefined();
    expect(skip(measured(2), measured(3))).toBe("network 3 is measured");
    expect(skip(measured(4))).toBe("network 3 is measured");
  });

  it("of one of several events at once is done by that of its number alone", () => {
    const second: Over = { "candidate.evaluated": { why: "network 2 is evaluated", only: 2 } };
    const skip = (...indices: number[]) =>
      standing(history([created, ...indices.map((index) => event("candidate.evaluated", { index }))]), second, 0).skip;
    expect(skip(1, 3)).toBeUndefined();
    expect(skip(3, 2, 1)).toBe("network 2 is evaluated");
  });

  it.each<[LatheEvent, string | undefined]>([
    [paused, "SEARCH_PAUSED"],
    [event("search.cancelled"), "SEARCH_CANCELLED"],
    [event("search.failed", { resumption: 1 }), "SEARCH_FAILED"],
    [event("work.failed", { resumption: 1 }), "SEARCH_FAILED"],
    [event("search.failed", { resumption: 0 }), undefined],
    [event("work.failed", { resumption: 0 }), undefined],
    [alarm(PAUSE), "SEARCH_PAUSED"],
    [alarm(FAIL), "SEARCH_FAILED"],
    [alarm(REPORT), undefined],
    [resumed(1), undefined],
    [epoch, undefined],
    [event("space.kept", { epoch: 1 }), undefined],
  ])("in the middle, at %p", (each, reason) => {
    expect(stopReason(history([each])[0]!, 1)).toBe(reason);
  });
});
