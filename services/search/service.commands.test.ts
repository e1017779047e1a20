import { historyOnce } from "../../shared/events/history";
import { listSubjects } from "../../shared/events/jetstream";
import { Objects } from "../../shared/events/objects";
import { publishWork } from "../../shared/events/publisher";
import { purgeSearch } from "../../shared/events/purge";
import { Records } from "../../shared/events/records";
import { ARTIFACTS_BUCKET, LISTING_BUCKET, WORK_STREAM, workFilters, workSubject } from "../../shared/events/subjects";
import { NetworkKept, OperatorsProfiled, ProfileWork } from "../../shared/proto/lathe/v1/events";
import { ConditionStatus, SearchState } from "../../shared/proto/lathe/v1/search";
import { CostMetric } from "../../shared/proto/lathe/v1/space";
import { CostSpec } from "../../shared/proto/lathe/v1/spec";
import { macsTable } from "../../shared/space/cost";
import { placeCodec } from "./list";
import { Feeds } from "./feed";
import { patience, until } from "../../shared/testing/until";
import { watch } from "./watch";
import {
  made,
  bus,
  projection,
  trained,
  api,
  withoutConsumer,
  failure,
  begin,
  inState,
  publish,
  watchAll,
  cases,
  scraped,
} from "./service.fixture";

describe("PauseSearch, ResumeSearch, CancelSearch", () => {
  it("return the new state, may be repeated, and queue the work again with a new ordinal", async () => {
    const { id } = await begin();
    const pause = async () => (await api.pauseSearch({ searchId: id })).search!;
    const resume = async () => (await api.resumeSearch({ searchId: id })).search!;
    expect(await failure(resume())).toMatchObject({ code: "FAILED_PRECONDITION", metadata: { state: "PENDING" } });
    expect((await pause()).state).toBe(SearchState.SEARCH_STATE_PAUSED);
    expect((await pause()).state).toBe(SearchState.SEARCH_STATE_PAUSED);
    expect(await resume()).toMatchObject({ state: SearchState.SEARCH_STATE_RUNNING, resumptions: 1 });
    expect(await resume()).toMatchObject({ resumptions: 1 });
    await pause();
    // The events are taken in during the pause; the next command waits for the resumption.
    await publish(id, made.converged, made.derived);
    expect(await resume()).toMatchObject({ state: SearchState.SEARCH_STATE_RUNNING, resumptions: 2 });
    await until(async () => (await projection.get(id)).issued === "retrain:2");
    await until(() => trained.filter(({ searchId }) => searchId === id).length === 2);
    expect(trained.filter(({ searchId }) => searchId === id).map(({ data }) => data.resumption)).toEqual([0, 1]);
    expect((await historyOnce(bus, id)).map(({ event }) => event.type)).toEqual([
      "search.created",
      ...["search.paused", "search.resumed", "search.paused"],
      ...["supernet.converged", "architecture.derived", "search.resumed"],
    ]);
  });

  it("resume a failed search with its history, and again where it fails again", async () => {
    const { id } = await begin();
    const fail = (resumption: number) =>
      publish(id, {
        type: "work.failed",
        data: { phase: "train", reason: "WORKER_DIED", message: "its process died", deliveries: 3, resumption },
      });
    await publish(id, made.epoch(1), made.shrunk(1));
    await fail(0);
    await inState(id, SearchState.SEARCH_STATE_FAILED);
    expect(cases(await watchAll(id)).at(-1)).toBe("searchFailed");

    const { search } = await api.resumeSearch({ searchId: id });
    expect(search).toMatchObject({ state: SearchState.SEARCH_STATE_RUNNING, resumptions: 1, lastEpoch: { epoch: 1 } });
    expect(search!.conditions).toMatchObject([{ type: "Failed", reason: "RESUMED" }]);
    await until(() => trained.some(({ searchId, data }) => searchId === id && data.resumption === 1));
    await until(async () => (await scraped(id)).length > 0);
    const watching = watchAll(id);
    await publish(id, made.epoch(2));
    await fail(1);
    expect(cases(await watching)).toEqual([
      ...["searchCreated", "epochCompleted", "spaceShrunk", "workFailed", "searchFailed"],
      ...["searchResumed", "epochCompleted", "workFailed", "searchFailed"],
    ]);
    await inState(id, SearchState.SEARCH_STATE_FAILED);
    expect(cases(await watchAll(id))).toHaveLength(9);
    expect(await api.resumeSearch({ searchId: id })).toMatchObject({
      search: { state: SearchState.SEARCH_STATE_RUNNING, resumptions: 2 },
    });
  });

  it("cancel a resumed search, although a cancellation came after its failure", async () => {
    const { id } = await begin();
    const reason = { reason: "X", message: "x", phase: "train", resumption: 0 };
    await publish(id, { type: "search.failed", data: reason });
    // Another client's call, sent before the failure.
    await publish(id, { type: "search.cancelled", data: { reason: "" } });
    await inState(id, SearchState.SEARCH_STATE_FAILED);
    await api.resumeSearch({ searchId: id });
    const { search } = await api.cancelSearch({ searchId: id, reason: "" });
    expect(search?.state).toBe(SearchState.SEARCH_STATE_CANCELLED);
    expect(await failure(api.resumeSearch({ searchId: id }))).toMatchObject({ metadata: { state: "CANCELLED" } });
  });

  it("refuse an ended search with its state; a cancelled search may be cancelled again", async () => {
    const { id } = await begin();
    const cancel = (searchId: string) => api.cancelSearch({ searchId, reason: "enough" });
    expect((await cancel(id)).search?.state).toBe(SearchState.SEARCH_STATE_CANCELLED);
    expect((await cancel(id)).search?.state).toBe(SearchState.SEARCH_STATE_CANCELLED);
    for (const run of [api.pauseSearch({ searchId: id }), api.resumeSearch({ searchId: id })])
      expect(await failure(run)).toMatchObject({
        code: "FAILED_PRECONDITION",
        message: expect.stringContaining("is CANCELLED") as string,
      });
    const other = (await begin()).id;
    await publish(other, { type: "search.failed", data: { reason: "X", message: "x", phase: "train", resumption: 0 } });
    expect(await failure(cancel(other))).toMatchObject({ code: "FAILED_PRECONDITION", metadata: { state: "FAILED" } });
    expect((await failure(api.cancelSearch({ searchId: id, reason: "x".repeat(501) }))).violations).toMatchObject([
      { field: "reason" },
    ]);
  });
});
describe("the work of a search that ends", () => {
  const queued = async (id: string) =>
    (await Promise.all(workFilters(id).map((filter) => listSubjects(bus, WORK_STREAM, filter)))).flatMap((found) => [
      ...found.keys(),
    ]);
  const measured = { cost: { metric: CostMetric.COST_METRIC_LATENCY }, profiling: { deviceClass: "gpu0" } };

  it("leaves the queue, although no worker serves its device class", async () => {
    const { id } = await begin(measured, "", true);
    await until(async () => (await queued(id)).length === 1);
    await api.cancelSearch({ searchId: id, reason: "" });
    await until(async () => (await queued(id)).length === 0);
  });

  it("leaves the queue where it was queued after the end, by a process that died since", async () => {
    const { id } = await begin(measured, "", true);
    await until(async () => (await queued(id)).length === 1);
    await api.cancelSearch({ searchId: id, reason: "" });
    await until(async () => (await queued(id)).length === 0);
    const data = ProfileWork.fromPartial({});
    await publishWork(bus, { searchId: id, kind: "profile", deviceClass: "gpu0", data, ordinal: "late" });
    // The event that the process had in hand is delivered again.
    await projection.take((await historyOnce(bus, id))[0]!);
    expect(await queued(id)).toEqual([]);
  });

  it("leaves the queue at once when the search is deleted, and its watch ends", async () => {
    const { id } = await begin(measured, "", true);
    await until(async () => (await queued(id)).length === 1);
    await withoutConsumer(async () => {
      // The cancellation is removed before the watch has read it, as on a busy machine.
      const open = watch(bus, new Feeds(bus, projection), (await projection.get(id)).search, {
        ...{ fromSequence: 0, includeProgress: false, signal: patience() },
      });
      for (const $case of ["searchCreated", "deviceAvailabilityChanged"])
        expect((await open.next()).value).toMatchObject({ event: { $case } });
      await purgeSearch(bus, id);
      expect(await queued(id)).toEqual([]);
      expect(await open.next()).toMatchObject({ done: true });
    });
  });
});
describe("a cancelled search", () => {
  const queued = async (id: string) => [...(await listSubjects(bus, WORK_STREAM, workSubject(id, "keep"))).keys()];
  const kept = async (id: string) =>
    until(
      async () => (await api.getSearch({ searchId: id })).search!.conditions.find(({ type }) => type === "Kept"),
      (condition) => condition !== undefined,
    );

  it("says at once that nothing is kept where no epoch has ended", async () => {
    const { id } = await begin();
    await api.cancelSearch({ searchId: id, reason: "" });
    expect(await kept(id)).toMatchObject({
      ...{ status: ConditionStatus.CONDITION_STATUS_FALSE, reason: "NOT_TRAINED" },
      message: "the search was cancelled before the end of its first epoch: there is no network yet",
    });
    expect(await queued(id)).toEqual([]);
  });

  it("has its network kept by one item, which its other work leaves behind; a later watch sends the network", async () => {
    const { id } = await begin();
    await publish(id, made.epoch(1));
    const watching = watchAll(id);
    await api.cancelSearch({ searchId: id, reason: "" });
    // The watch ends with the cancellation, before the network is kept.
    expect(cases(await watching)).toEqual(["searchCreated", "epochCompleted", "searchCancelled"]);
    await until(async () => (await queued(id)).length === 1);
    for (const stored of await historyOnce(bus, id)) await projection.take(stored);
    expect(await queued(id)).toHaveLength(1);
    // A trainer that stops may publish one more epoch.
    await publish(id, made.epoch(2));
    const data = NetworkKept.fromPartial({ phase: "train", genotype: made.derived.data.genotype, message: "it" });
    await publish(id, { type: "network.kept", data });
    expect(await kept(id)).toMatchObject({ status: ConditionStatus.CONDITION_STATUS_TRUE, message: "it" });
    const events = ["searchCreated", "epochCompleted", "searchCancelled", "networkKept"];
    expect(cases(await watchAll(id))).toEqual(events);
    expect((await api.getSearch({ searchId: id })).search?.lastEpoch?.epoch).toBe(1);
  });

  it("takes the item that keeps its network out of the queue when it is deleted", async () => {
    const { id } = await begin();
    await publish(id, made.epoch(1));
    await api.cancelSearch({ searchId: id, reason: "" });
    await until(async () => (await queued(id)).length === 1);
    await api.deleteSearch({ searchId: id });
    await until(async () => (await queued(id)).length === 0);
  });
});
describe("DeleteSearch", () => {
  it("keeps a search whose supernet another one still needs", async () => {
    const { id } = await begin({ cost: CostSpec.fromPartial({ targets: ["20ms", "10ms"] }) });
    const space = (await api.getSearch({ searchId: id })).search!.space!;
    const table = { ...macsTable(space), metric: CostMetric.COST_METRIC_LATENCY, device: "cpu" };
    const bounds = { smallest: { p50Seconds: 0.001 }, conditions: { p50Seconds: 0.1 } };
    await publish(id, { type: "operators.profiled", data: OperatorsProfiled.fromPartial({ table, ...bounds }) });
    await publish(id, made.converged);
    const branch = `${id}-2`;
    const branches = async () => (await api.getSearch({ searchId: id })).search?.result?.branches ?? [];
    await until(async () => (await branches()).length === 1);
    expect(await branches()).toEqual([{ searchId: branch, target: "10ms" }]);
    await api.cancelSearch({ searchId: id, reason: "" });
    expect(await failure(api.deleteSearch({ searchId: id }))).toMatchObject({
      code: "FAILED_PRECONDITION",
      reason: "SEARCH_NEEDED",
      message: `search ${id} has the supernet that search ${branch} still needs: wait until that has derived its network, or delete it first`,
    });
    await api.cancelSearch({ searchId: branch, reason: "" });
    await api.deleteSearch({ searchId: id });
    expect(await failure(api.getSearch({ searchId: id }))).toMatchObject({ code: "NOT_FOUND" });
    await api.deleteSearch({ searchId: branch });
  });

  it("removes an ended search with all its data, and what a late worker stores", async () => {
    const { id } = await begin({}, "req-deleted");
    expect(await failure(api.deleteSearch({ searchId: id }))).toMatchObject({ code: "FAILED_PRECONDITION" });
    const objects = new Objects(bus, ARTIFACTS_BUCKET);
    await objects.put(`${id}/x`, Buffer.from("x"), { kind: "x", mediaType: "x" });
    await api.cancelSearch({ searchId: id, reason: "" });
    await api.deleteSearch({ searchId: id });
    expect(await failure(api.getSearch({ searchId: id }))).toMatchObject({ code: "NOT_FOUND" });
    expect(await new Records(bus, LISTING_BUCKET, placeCodec).get(id)).toBeUndefined();
    // The process that has the cancellation in hand may publish network.kept after the deletion.
    await until(async () => (await historyOnce(bus, id)).length === 0);
    expect(await objects.list(`${id}/`)).toEqual([]);
    await publish(id, made.epoch(1));
    await until(async () => (await historyOnce(bus, id)).length === 0);
    // The request id is free again.
    expect((await begin({ seed: 9 }, "req-deleted")).id).not.toBe(id);
  });
});
