import type { LatheEvent } from "../../shared/events/catalog";
import { NetworkKept } from "../../shared/proto/lathe/v1/events";
import { DecidedBy } from "../../shared/proto/lathe/v1/result";
import { ConditionStatus, Search, SearchPhase, SearchState } from "../../shared/proto/lathe/v1/search";
import { uniform } from "../../shared/testing/spaces";
import { nextCommand } from "./commands";
import { project, projectAll } from "./lifecycle";
import { recordCodec, stateName, type SearchRecord } from "./record";
import {
  host,
  stored,
  whole,
  s,
  latency,
  bare,
  genotype,
  given,
  failed,
  searchFailed,
  alarm,
  REPORT,
  PAUSE,
  FAIL,
  cancelled,
  file,
  kept,
} from "./lifecycle.fixture";

/** State, phase and id of the next command after each event. */
function course(events: readonly LatheEvent[]): string[] {
  let record: SearchRecord | undefined;
  return stored(events).map((each) => {
    record = project(record, each);
    if (!record) return "none";
    return `${stateName(record.search.state)} ${SearchPhase[record.search.phase].replace("SEARCH_PHASE_", "")} ${nextCommand(record, host)?.id ?? "-"}`;
  });
}
/** The failure of the first resumption. */
const again = (event: LatheEvent) => ({ ...event, data: { ...event.data, resumption: 1 } }) as LatheEvent;
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
