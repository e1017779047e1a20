import { historyOnce } from "../../shared/events/history";
import type { Announcement } from "../../shared/events/presence";
import { LatheError } from "../../shared/process/errors";
import { ConditionStatus, SearchState } from "../../shared/proto/lathe/v1/search";
import { CostMetric } from "../../shared/proto/lathe/v1/space";
import { SearchSpec } from "../../shared/proto/lathe/v1/spec";
import { announceDevice } from "../../shared/testing/devices";
import { tinySpec } from "../../shared/testing/searches";
import { until } from "../../shared/testing/until";
import { api, bus, cases, failure, made, publish, watchAll, withoutWorkers } from "./service.fixture";

const byLatency = { metric: CostMetric.COST_METRIC_LATENCY };
const on = (deviceClass: string, more: Parameters<typeof tinySpec>[0] = {}) =>
  tinySpec({ cost: byLatency, ...more, profiling: { deviceClass } });

const device = async (id: string) =>
  (await api.getSearch({ searchId: id })).search!.conditions.find(({ type }) => type === "Device");
const isServed = (status: ConditionStatus) => (found: Awaited<ReturnType<typeof device>>) => found?.status === status;
const types = async (id: string) => (await historyOnce(bus, id)).map(({ event }) => event.type);
const count = async () =>
  (await api.listSearches({ pageSize: 0, pageToken: "", states: [], labels: {} })).searches.length;

const running: Announcement[] = [];
async function worker(deviceClass: string, cores?: number): Promise<Announcement> {
  const presence = await announceDevice(bus, deviceClass, cores);
  running.push(presence);
  return presence;
}
afterEach(async () => {
  await Promise.all(running.splice(0).map((presence) => presence.stop()));
});

describe("a search on a device class without a worker", () => {
  it("is refused with the classes that are there, and nothing is stored", async () => {
    const before = await count();
    await worker("rack-4");
    for (const spec of [on("cuda"), on("cuda", { cost: { metric: CostMetric.COST_METRIC_MACS } })]) {
      const refusal = await failure(api.startSearch({ spec, requestId: "refused" }));
      expect(refusal).toMatchObject({
        code: "FAILED_PRECONDITION",
        reason: "DEVICE_NOT_SERVED",
        metadata: { field: "profiling.device_class", device_class: "cuda", classes: "cpu,rack-4" },
      });
      expect(refusal.message).toBe(
        'profiling.device_class is "cuda", must be a device class with a live latency worker: only workers of cpu, rack-4 are alive; ' +
          "start a worker of this class, name another, or wait for one (--wait, wait_for_device)",
      );
    }
    expect(await count()).toBe(before);
    // The id of the refused request is free.
    const { search } = await api.startSearch({ spec: on("rack-4"), requestId: "refused" });
    expect(search?.conditions).toEqual([]);
  });

  it("waits for one where that is asked for, and says so until it comes", async () => {
    const { search } = await api.startSearch({ spec: on("cuda"), requestId: "waits", waitForDevice: true });
    const id = search!.id;
    expect(search?.conditions).toEqual([
      expect.objectContaining({
        type: "Device",
        status: ConditionStatus.CONDITION_STATUS_FALSE,
        reason: "DEVICE_NOT_SERVED",
        message: "the search waits for a latency worker of device class cuda: only workers of cpu are alive",
      }),
    ]);
    // The same request again begins and tells nothing a second time.
    const again = await api.startSearch({ spec: on("cuda"), requestId: "waits", waitForDevice: true });
    expect(again.search).toEqual(search);
    await worker("cuda");
    expect(await until(() => device(id), isServed(ConditionStatus.CONDITION_STATUS_TRUE))).toMatchObject({
      reason: "DEVICE_SERVED",
      message: "a latency worker of device class cuda is alive",
    });
    expect(await types(id)).toEqual(["search.created", "device.availability.changed", "device.availability.changed"]);
    await api.cancelSearch({ searchId: id, reason: "" });
    const told = ["searchCreated", "deviceAvailabilityChanged", "deviceAvailabilityChanged", "searchCancelled"];
    expect(cases(await watchAll(id)).slice(0, 4)).toEqual(told);
  });

  it("is checked without a start where only that is asked for", async () => {
    const before = await count();
    const asked = (deviceClass: string, more = {}) =>
      api.startSearch({ spec: on(deviceClass), requestId: "checked", validateOnly: true, ...more });
    expect(await failure(asked("cuda"))).toMatchObject({ reason: "DEVICE_NOT_SERVED" });
    expect(await failure(asked("cpu", { spec: tinySpec({ training: { epochs: 0 } }) }))).toMatchObject({
      reason: "INVALID_SPEC",
    });
    expect(await asked("cpu")).toEqual({ search: undefined });
    expect(await asked("cuda", { waitForDevice: true })).toEqual({ search: undefined });
    expect(await count()).toBe(before);
    // A repetition of a start is none that a missing worker could refuse.
    const { search } = await api.startSearch({ spec: on("cuda"), requestId: "checked", waitForDevice: true });
    expect(await asked("cuda")).toEqual({ search: undefined });
    await api.cancelSearch({ searchId: search!.id, reason: "" });
  });

  it("says so when its worker goes while it is needed, and not before", async () => {
    const presence = await worker("rack-5");
    const { search } = await api.startSearch({
      spec: on("rack-5", { cost: { metric: CostMetric.COST_METRIC_MACS }, retraining: { epochs: 0 } }),
      requestId: "",
    });
    const id = search!.id;
    await presence.stop();
    await publish(id, made.epoch(1));
    // One that needs its worker at once is told meanwhile, by the same look.
    const hasty = (await api.startSearch({ spec: on("rack-6"), requestId: "", waitForDevice: true })).search!.id;
    const other = await worker("rack-6");
    await until(() => device(hasty), isServed(ConditionStatus.CONDITION_STATUS_TRUE));
    await other.stop();
    await until(() => device(hasty), isServed(ConditionStatus.CONDITION_STATUS_FALSE));
    expect(await device(id)).toBeUndefined();
    await publish(id, made.converged, made.derived);
    await until(() => device(id), isServed(ConditionStatus.CONDITION_STATUS_FALSE));
    await worker("rack-5");
    await until(() => device(id), isServed(ConditionStatus.CONDITION_STATUS_TRUE));
    const { search: now } = await api.getSearch({ searchId: id });
    expect(now?.state).toBe(SearchState.SEARCH_STATE_RUNNING);
  });

  it("begins where no worker is alive at all if it names none, and says so from its start", async () => {
    await withoutWorkers(async () => {
      const macs = { cost: { metric: CostMetric.COST_METRIC_MACS }, retraining: { epochs: 0 } };
      const { search } = await api.startSearch({ spec: tinySpec(macs), requestId: "" });
      const id = search!.id;
      const message =
        "the search goes on until its measurement, and will wait for a latency worker of device class cpu: no latency worker is alive";
      expect(search?.conditions).toMatchObject([
        { type: "Device", status: ConditionStatus.CONDITION_STATUS_FALSE, reason: "DEVICE_NOT_SERVED", message },
      ]);
      await worker("cpu");
      await until(() => device(id), isServed(ConditionStatus.CONDITION_STATUS_TRUE));
      expect(await types(id)).toEqual(["search.created", "device.availability.changed", "device.availability.changed"]);
      await api.cancelSearch({ searchId: id, reason: "" });
    });
  });

  it("is refused where none is alive and the preset searches for a latency", async () => {
    await withoutWorkers(async () => {
      const spec = SearchSpec.fromPartial({ preset: "medium", dataset: { path: "/d" } });
      for (const validateOnly of [true, false])
        expect(await failure(api.startSearch({ spec, requestId: "", validateOnly }))).toMatchObject({
          code: "FAILED_PRECONDITION",
          reason: "DEVICE_NOT_SERVED",
        });
    });
  });

  it("is refused for more threads than its workers have logical cores", async () => {
    await worker("rack-7", 3);
    await worker("rack-7", 2);
    const spec = tinySpec({ profiling: { deviceClass: "rack-7", threads: 3 } });
    const refusal = await failure(api.startSearch({ spec, requestId: "" }));
    expect(refusal).toMatchObject({
      code: "INVALID_ARGUMENT",
      reason: "INVALID_SPEC",
      violations: [
        {
          field: "profiling.threads",
          description: "is 3, must be at most 2, the logical cores of device class rack-7",
        },
      ],
    });
    expect(refusal).toBeInstanceOf(LatheError);
    const { search } = await api.startSearch({
      spec: tinySpec({ profiling: { deviceClass: "rack-7", threads: 2 } }),
      requestId: "",
    });
    expect(search?.spec?.profiling?.threads).toBe(2);
  });
});
