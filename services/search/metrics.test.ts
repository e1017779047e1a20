import type { LatheEvent } from "../../shared/events/catalog";
import { createMetrics } from "../../shared/process/metrics";
import {
  DeviceAvailabilityChanged,
  HealthAlarmRaised,
  NetworkKept,
  type EpochCompleted,
} from "../../shared/proto/lathe/v1/events";
import { HealthAlarmKind, Removal } from "../../shared/proto/lathe/v1/result";
import { SearchState } from "../../shared/proto/lathe/v1/search";
import type { Dimension } from "../../shared/proto/lathe/v1/space";
import { AlgorithmKind, type SearchSpec } from "../../shared/proto/lathe/v1/spec";
import { resolve } from "../../shared/spec/resolve";
import { tinySpec, workerEvents } from "../../shared/testing/searches";
import { project } from "./lifecycle";
import { searchMetrics } from "./metrics";
import { newRecord, type SearchRecord } from "./record";

const { spec, space } = resolve(tinySpec());
const made = workerEvents(space);

const textOf = async (registry: { metrics(): Promise<string> }, part = "nas_") =>
  (await registry.metrics()).split("\n").filter((line) => line.startsWith("nas_") && line.includes(part));

/** A registry with the metrics of searches, and searches that are computed from events. */
function observe() {
  const { registry, ...metrics } = createMetrics();
  const observed = searchMetrics({ registry, ...metrics });
  const records = new Map<string, SearchRecord>();
  let sequence = 0;
  return {
    registry,
    observed,
    created: (searchId: string, about: Partial<SearchSpec> = {}) => {
      const record = newRecord(searchId, { spec: { ...spec, ...about }, space, specSha256: "0" }, new Date(0));
      records.set(searchId, record);
      observed.show(record.search);
    },
    /** Takes in an event as the consumer does: into the record, and into the metrics. */
    takeIn: (searchId: string, event: LatheEvent, seconds = 0) => {
      const stored = { sequence: ++sequence, time: new Date(1000 * seconds), searchId, event };
      const known = records.get(searchId)!;
      const record = project(known, stored) ?? known;
      records.set(searchId, record);
      observed.show(record.search);
      observed.count(stored);
    },
    search: (searchId: string) => records.get(searchId)!.search,
  };
}

const removal = (dimension: Dimension) => Removal.fromPartial({ dimension });
const shrunk: LatheEvent = {
  ...made.shrunk(1),
  data: { ...made.shrunk(1).data, removals: [removal(1), removal(1), removal(2)] },
} as LatheEvent;
const succeeded = { type: "search.succeeded", data: { result: undefined } } as const;
const life: LatheEvent[] = [
  ...[made.epoch(1), shrunk, made.sampled(1), made.candidate(1), made.converged],
  ...[made.derived, made.retrained(1), made.trained],
];

describe("metrics of searches", () => {
  it("have as many series after a thousand searches as after ten", async () => {
    const { registry, observed, created, takeIn, search } = observe();
    const run = (n: number) => {
      const id = `s-${n}`;
      created(id);
      for (const event of life) takeIn(id, event);
      return search(id);
    };
    for (let n = 0; n < 10; n++) {
      run(n);
      takeIn(`s-${n}`, succeeded);
    }
    const ten = (await textOf(registry)).length;
    expect(await textOf(registry, "search_id")).toEqual([]);
    for (let n = 10; n < 1000; n++) {
      run(n);
      if (n % 100 === 0) expect((await textOf(registry, `"s-${n}"`)).length).toBeGreaterThan(30);
      takeIn(`s-${n}`, succeeded);
    }
    expect((await textOf(registry)).length).toBe(ten);
    expect(await textOf(registry, "nas_searches_total{")).toContain('nas_searches_total{outcome="succeeded"} 1000');
    // Another process has deleted the search, or taken in its end.
    run(1001);
    run(1002);
    observed.remove("s-1001");
    observed.show({ ...search("s-1002"), state: SearchState.SEARCH_STATE_CANCELLED });
    expect((await textOf(registry)).length).toBe(ten);
    // A late event brings no gauge back.
    observed.signOfLife("s-1", new Date());
    takeIn("s-1", made.retrained(2));
    expect((await textOf(registry)).length).toBe(ten);
  });

  it("show the progress of a search, its cost and when it shrank", async () => {
    const { registry, created, takeIn } = observe();
    created("s-a", { cost: { ...spec.cost, target: 0.25 } });
    const epoch = made.epoch(1);
    Object.assign((epoch.data as EpochCompleted).metrics!, { expectedCostRatio: 0.75 });
    takeIn("s-a", epoch);
    takeIn("s-a", shrunk, 90);
    takeIn("s-a", { type: "space.shrunk", data: { ...made.shrunk(2).data, removals: [removal(2)] } } as LatheEvent, 99);
    const text = await textOf(registry, '"s-a"');
    expect(text).toEqual(
      expect.arrayContaining([
        'nas_search_expected_cost_ratio{search_id="s-a"} 0.75',
        'nas_search_cost_target_ratio{search_id="s-a"} 0.25',
        'nas_search_epochs_done_ratio{search_id="s-a",phase="search"} 0.5',
        'nas_search_last_shrink_timestamp_seconds{search_id="s-a",dimension="depth"} 90',
        'nas_search_last_shrink_timestamp_seconds{search_id="s-a",dimension="operation"} 99',
      ]),
    );
  });

  it("have a time of the last progress only while a worker should report", async () => {
    const { registry, observed, created, takeIn } = observe();
    const silence = async () => (await textOf(registry, "nas_search_last_progress")).map((line) => line.split(" ")[1]);
    const state = async () =>
      (await textOf(registry, 'nas_search_state{search_id="s-a"')).find((line) => / 1$/.test(line));
    created("s-a");
    takeIn("s-a", { type: "search.created", data: { spec, space, specSha256: "0" } }, 5);
    expect(await silence()).toEqual([]);
    expect(await state()).toContain('state="pending"');
    observed.signOfLife("s-a", new Date(10_000));
    expect([await silence(), await state()]).toEqual([["10"], expect.stringContaining('state="running"')]);
    takeIn("s-a", made.epoch(1), 20);
    expect(await silence()).toEqual(["20"]);
    takeIn("s-a", { type: "search.paused", data: {} }, 30);
    // The last step of a trainer that is being stopped.
    observed.signOfLife("s-a", new Date(31_000));
    expect([await silence(), await state()]).toEqual([[], expect.stringContaining('state="paused"')]);
    takeIn("s-a", { type: "search.resumed", data: { resumption: 1 } }, 40);
    expect([await silence(), await state()]).toEqual([[], expect.stringContaining('state="running"')]);
    observed.signOfLife("s-a", new Date(50_000));
    takeIn("s-a", made.converged, 60);
    expect(await silence()).toEqual(["60"]);
    // Retraining waits for a trainer, the measurement does not.
    takeIn("s-a", made.derived, 70);
    expect(await silence()).toEqual([]);
    takeIn("s-a", made.retrained(1), 80);
    takeIn("s-a", made.trained, 90);
    expect(await silence()).toEqual(["90"]);
  });

  it("have no time of the last progress while the next network of algorithm random waits, and count its networks", async () => {
    const { registry, observed, created, takeIn } = observe();
    const silence = async () => (await textOf(registry, "nas_search_last_progress")).map((line) => line.split(" ")[1]);
    const done = async () =>
      (await textOf(registry, 'epochs_done_ratio{search_id="s-a",phase="search"')).map((line) => line.split(" ")[1]);
    const algorithm = { kind: AlgorithmKind.ALGORITHM_KIND_RANDOM, genotype: undefined };
    created("s-a", { algorithm, sampling: { ...spec.sampling, candidates: 2 } });
    takeIn("s-a", made.sampled(2), 20);
    expect([await silence(), await done()]).toEqual([["20"], ["0"]]);
    takeIn("s-a", made.candidate(2), 30);
    expect([await silence(), await done()]).toEqual([[], ["0.5"]]);
    // A trainer that has the other network in hand.
    observed.signOfLife("s-a", new Date(40_000));
    expect(await silence()).toEqual(["40"]);
    takeIn("s-a", made.candidate(1), 50);
    expect([await silence(), await done()]).toEqual([[], ["1"]]);
  });

  it("begin the time of the last progress anew in the process that takes a running search over", async () => {
    const { registry, observed, created, takeIn, search } = observe();
    created("s-a");
    takeIn("s-a", made.epoch(1), 20);
    observed.remove("s-a");
    const before = Date.now() / 1000;
    observed.show(search("s-a"));
    const [line = ""] = await textOf(registry, "nas_search_last_progress");
    expect(Number(line.split(" ")[1])).toBeGreaterThanOrEqual(before);
    // Retraining waits for a trainer, whichever process has read the event.
    takeIn("s-a", made.derived, 30);
    observed.signOfLife("s-a", new Date());
    observed.show(search("s-a"));
    expect(await textOf(registry, "nas_search_last_progress")).toEqual([]);
  });

  it("count trainings without a finite loss, by an alarm or by the failure of the work", async () => {
    const { registry, created, takeIn } = observe();
    created("s-a");
    takeIn("s-a", {
      type: "health.alarm.raised",
      data: HealthAlarmRaised.fromPartial({ kind: HealthAlarmKind.HEALTH_ALARM_KIND_LOSS_NOT_FINITE }),
    });
    const failed = (phase: string, reason: string): LatheEvent => ({
      type: "work.failed",
      data: { phase, reason, message: "", deliveries: 1, resumption: 0 },
    });
    for (const each of [failed("retrain", "LOSS_NOT_FINITE"), failed("train", "LOSS_NOT_FINITE"), failed("train", "X")])
      takeIn("s-a", each);
    expect(await textOf(registry, "nas_train_losses_not_finite_total{")).toEqual([
      'nas_train_losses_not_finite_total{phase="search"} 2',
      'nas_train_losses_not_finite_total{phase="retraining"} 1',
    ]);
  });

  it("count the searches that wait for a latency worker by class, of which a process names twenty", async () => {
    const { registry, created, takeIn, search, observed } = observe();
    const classed = (deviceClass: string) => ({ profiling: { ...spec.profiling, deviceClass } });
    const told = (available: boolean, number: number): LatheEvent => ({
      type: "device.availability.changed",
      data: DeviceAvailabilityChanged.fromPartial({ number, available, message: "waits" }),
    });
    const shown = async () =>
      (await textOf(registry, "nas_search_waiting{")).map((line) => line.replace(/^.*device_class="(.*)"\}/, "$1"));
    expect(await shown()).toEqual(["cpu 0"]);
    for (let n = 0; n < 3; n++) {
      created(`s-${n}`, classed(n < 2 ? "cuda" : "cpu"));
      if (n > 0) takeIn(`s-${n}`, told(false, 1));
    }
    expect(await shown()).toEqual(["cpu 1", "cuda 1"]);
    takeIn("s-0", told(false, 1));
    takeIn("s-2", told(true, 2));
    expect(await shown()).toEqual(["cpu 0", "cuda 2"]);
    takeIn("s-0", { type: "search.paused", data: {} });
    observed.show({ ...search("s-1"), state: SearchState.SEARCH_STATE_CANCELLED });
    expect(await shown()).toEqual(["cpu 0", "cuda 0"]);
    for (let n = 0; n < 50; n++) {
      created(`s-c${n}`, classed(`class-${n}`));
      takeIn(`s-c${n}`, told(false, 1));
    }
    const lines = await shown();
    expect(lines).toHaveLength(21);
    expect(lines.at(-1)).toBe("other 32");
  });

  it("have no time of the last progress while a search waits for a latency worker", async () => {
    const { registry, created, takeIn } = observe();
    const told = (available: boolean, number: number): LatheEvent => ({
      type: "device.availability.changed",
      data: DeviceAvailabilityChanged.fromPartial({ number, available, message: "waits" }),
    });
    const silence = async () => (await textOf(registry, "nas_search_last_progress")).map((line) => line.split(" ")[1]);
    created("s-a");
    // It goes on until its measurement.
    takeIn("s-a", told(false, 1), 10);
    takeIn("s-a", made.epoch(1), 20);
    expect(await silence()).toEqual(["20"]);
    for (const event of [made.converged, made.derived, made.retrained(1), made.trained]) takeIn("s-a", event, 30);
    expect(await silence()).toEqual([]);
    takeIn("s-a", told(true, 2), 40);
    expect(await silence()).toEqual(["40"]);
  });

  it("count the data change of a derivation, which has no alarm", async () => {
    const { registry, created, takeIn } = observe();
    created("s-a");
    const counted = async () => (await textOf(registry, 'alarms_total{kind="data_changed"')).map((line) => line.at(-1));
    takeIn("s-a", made.epoch(1));
    takeIn("s-a", made.converged);
    takeIn("s-a", made.derived);
    expect(await counted()).toEqual(["0"]);
    created("s-b");
    takeIn("s-b", made.converged);
    takeIn("s-b", { ...made.derived, data: { ...made.derived.data, dataChange: "files changed" } });
    expect(await counted()).toEqual(["1"]);
    // A network that is kept of a cancelled search is derived, too.
    created("s-c");
    for (const event of [
      made.epoch(1),
      { type: "search.cancelled", data: { reason: "" } },
      { type: "network.kept", data: NetworkKept.fromPartial({ dataChange: "files changed" }) },
    ] as LatheEvent[])
      takeIn("s-c", event);
    expect(await counted()).toEqual(["2"]);
  });
});
