import { setTimeout as sleep } from "node:timers/promises";
import type { Bus } from "../../shared/events/bus";
import type { LatheEvent } from "../../shared/events/catalog";
import { historyOnce } from "../../shared/events/history";
import { listSubjects, readMessage } from "../../shared/events/jetstream";
import { Objects } from "../../shared/events/objects";
import { publishEvent, publishProgress, publishWork } from "../../shared/events/publisher";
import type { Consumption } from "../../shared/events/pulls";
import { purgeSearch } from "../../shared/events/purge";
import { Records } from "../../shared/events/records";
import {
  ARTIFACTS_BUCKET,
  CHECKPOINTS_BUCKET,
  EVENTS_STREAM,
  LISTING_BUCKET,
  REQUESTS_BUCKET,
  SEARCHES_BUCKET,
  WORK_STREAM,
  eventSubject,
  workFilters,
  workSubject,
} from "../../shared/events/subjects";
import { takeWork, type WorkItem } from "../../shared/events/work";
import type { LatheError } from "../../shared/process/errors";
import { createMetrics } from "../../shared/process/metrics";
import { NetworkKept, ProfileWork } from "../../shared/proto/lathe/v1/events";
import {
  ConditionStatus,
  SearchPhase,
  SearchServiceClient,
  SearchState,
  Search,
  type WatchSearchResponse,
} from "../../shared/proto/lathe/v1/search";
import { CostMetric } from "../../shared/proto/lathe/v1/space";
import { resolve, specDigest } from "../../shared/spec/resolve";
import { startTestBus } from "../../shared/testing/bus";
import type { TestNats } from "../../shared/testing/nats";
import { startRpc, type TestRpc } from "../../shared/testing/rpc";
import { tinySpec, workerEvents } from "../../shared/testing/searches";
import { consume } from "./consumer";
import { projectAll } from "./lifecycle";
import { searchMetrics } from "./metrics";
import { placeCodec } from "./list";
import { Feeds } from "./feed";
import { newRecord, recordCodec } from "./record";
import { searchService } from "./rpc";
import { Projection } from "./projection";
import { Searches } from "./searches";
import { Sweep } from "./sweep";
import { patience, until } from "../../shared/testing/until";
import { watch } from "./watch";

const host = { latheVersion: "1.2.3", nodeVersion: "v20", platform: "linux x64", cpu: "a cpu" };
const { space } = resolve(tinySpec());
const made = workerEvents(space);

let nats: TestNats;
let bus: Bus;
let rpc: TestRpc;
let consumption: Consumption;
let projection: Projection;
const metrics = createMetrics();
const observed = searchMetrics(metrics);
const trained: WorkItem<"train">[] = [];
let trainers: Consumption;

const opened: Consumption[] = [];
afterEach(async () => {
  await Promise.all(opened.splice(0).map((worker) => worker.stop()));
});

const client = () => rpc.connect(SearchServiceClient).api;
let api: ReturnType<typeof client>;

beforeAll(async () => {
  ({ nats, bus } = await startTestBus());
  projection = new Projection(bus, host);
  consumption = await consume(bus, projection, observed, { backoffMs: 10 });
  rpc = await startRpc([searchService(bus, projection, 1_000)]);
  api = client();
  trainers = await takeWork(bus, {
    queues: [{ kind: "train" }],
    handler: (work) => Promise.resolve(void trained.push(work)),
    onExhausted: () => Promise.resolve(),
  });
});
afterAll(async () => {
  await rpc?.stop();
  await trainers?.stop();
  await consumption?.stop();
  await bus?.drain();
  await nats?.stop();
});

const failure = (run: Promise<unknown>): Promise<LatheError> =>
  run.then(
    () => Promise.reject(new Error("no failure")),
    (error: LatheError) => error,
  );

async function begin(overrides: Parameters<typeof tinySpec>[0] = {}, requestId = ""): Promise<Search> {
  const { search } = await api.startSearch({ spec: tinySpec(overrides), requestId });
  return search!;
}

const inState = (id: string, state: SearchState) =>
  until(
    async () => (await api.getSearch({ searchId: id })).search!,
    (search) => search.state === state,
  );

const publish = (id: string, ...events: LatheEvent[]) =>
  events.reduce<Promise<unknown>>(
    (before, event) => before.then(() => publishEvent(bus, id, event)),
    Promise.resolve(),
  );

const watchAll = async (id: string, fromSequence = 0) => {
  const seen: WatchSearchResponse[] = [];
  for await (const each of api.watchSearch({ searchId: id, fromSequence, includeProgress: false })) seen.push(each);
  return seen;
};
const cases = (seen: readonly WatchSearchResponse[]) => seen.map(({ event }) => event?.$case);

/** The lines of the metrics endpoint that name a search. */
const scraped = async (id: string) =>
  (await metrics.registry.metrics()).split("\n").filter((line) => line.includes(`"${id}"`));

describe("StartSearch", () => {
  it("stores the search with its completed spec, publishes it, and sends it to a trainer", async () => {
    const search = await begin({ labels: { team: "a" } });
    expect(search.id).toMatch(/^s-[a-z2-7]{12}$/);
    expect(search).toMatchObject({
      state: SearchState.SEARCH_STATE_PENDING,
      spec: { training: { epochs: resolve(tinySpec()).spec.training.epochs }, labels: { team: "a" } },
      space,
    });
    expect(search.lastSequence).toBeGreaterThan(0);
    expect((await api.getSearch({ searchId: search.id })).search).toMatchObject({ id: search.id });
    await until(() => trained.some(({ searchId }) => searchId === search.id));
    expect((await new Records(bus, SEARCHES_BUCKET, Search).get(search.id))?.value.spec).toEqual(search.spec);
  });

  it("starts one search per request id, however often and by however many clients it is called", async () => {
    const spec = { seed: 4 };
    const started = await Promise.all(Array.from({ length: 5 }, () => begin(spec, "req-1")));
    const [first] = started;
    expect(new Set(started.map(({ id }) => id)).size).toBe(1);
    expect((await begin(spec, "req-1")).id).toBe(first!.id);
    expect(await historyOnce(bus, first!.id)).toHaveLength(1);
    expect((await begin(spec)).id).not.toBe(first!.id);
    // A default value and the same value given explicitly are one spec.
    expect((await begin({ ...spec, training: { epochs: first!.spec!.training!.epochs } }, "req-1")).id).toBe(first!.id);
    const error = await failure(begin({ seed: 5 }, "req-1"));
    expect(error).toMatchObject({ code: "ALREADY_EXISTS", reason: "REQUEST_ID_REUSED" });
    expect(error.message).toContain(first!.id);
  });

  it("names every fault of a request and stores nothing", async () => {
    const before = (await api.listSearches({ pageSize: 200, pageToken: "", states: [], labels: {} })).searches.length;
    const error = await failure(
      begin({ preset: "huge", training: { epochs: 0, batchSize: -1 }, shrinking: { threshold: 2 } }, "no spaces"),
    );
    expect(error.code).toBe("INVALID_ARGUMENT");
    expect(error.violations.map(({ field }) => field)).toEqual(
      expect.arrayContaining(["request_id", "preset", "training.epochs", "training.batch_size", "shrinking.threshold"]),
    );
    expect((await failure(api.startSearch({ spec: undefined, requestId: "" }))).violations).toMatchObject([
      { field: "spec" },
    ]);
    const after = (await api.listSearches({ pageSize: 200, pageToken: "", states: [], labels: {} })).searches.length;
    expect(after).toBe(before);
  });

  it("is completed by a sweep where the process died after the record, and by the client's repetition where it died after the claim", async () => {
    const { spec, space: own } = resolve(tinySpec({ seed: 77 }));
    const record = newRecord("s-diedbehindit", { spec, space: own, specSha256: "0" }, new Date(), "");
    await new Records(bus, "SEARCHES", recordCodec).create("s-diedbehindit", record);
    await new Sweep(bus, projection).run();
    expect((await historyOnce(bus, "s-diedbehindit")).map(({ event }) => event.type)).toEqual(["search.created"]);
    await until(() => trained.some(({ searchId }) => searchId === "s-diedbehindit"));

    const claims = new Records<unknown>(bus, REQUESTS_BUCKET, { toJSON: (x) => x, fromJSON: (x) => x });
    await claims.create("req-cut", { searchId: "s-cutoffcutoff", specSha256: specDigest(spec) });
    expect((await begin({ seed: 77 }, "req-cut")).id).toBe("s-cutoffcutoff");
  });
});

describe("GetSearch", () => {
  it.each(["getSearch", "pauseSearch", "resumeSearch", "deleteSearch", "listArtifacts"] as const)(
    "%s refuses an id that cannot be, and one that is not",
    async (method) => {
      expect(await failure(api[method]({ searchId: "S 1" }))).toMatchObject({
        code: "INVALID_ARGUMENT",
        violations: [{ field: "search_id" }],
      });
      expect(await failure(api[method]({ searchId: "" }))).toMatchObject({ code: "INVALID_ARGUMENT" });
      expect(await failure(api[method]({ searchId: "s-nowhere" }))).toMatchObject({
        code: "NOT_FOUND",
        reason: "SEARCH_NOT_FOUND",
      });
    },
  );
});

describe("ListSearches", () => {
  const list = async (request: Partial<Parameters<typeof api.listSearches>[0]>) =>
    api.listSearches({ pageSize: 0, pageToken: "", states: [], labels: {}, ...request });

  it("returns pages, newest first, that a new search does not shift", async () => {
    const labels = { list: "pages" };
    const ids: string[] = [];
    for (let n = 0; n < 5; n++) {
      ids.unshift((await begin({ labels, seed: n })).id);
      await sleep(2);
    }
    await begin();
    const first = await list({ pageSize: 2, labels });
    await begin({ labels });
    const second = await list({ pageSize: 2, labels, pageToken: first.nextPageToken });
    const third = await list({ pageSize: 2, labels, pageToken: second.nextPageToken });
    expect([first, second, third].map(({ searches: found }) => found.map(({ id }) => id))).toEqual([
      ids.slice(0, 2),
      ids.slice(2, 4),
      ids.slice(4),
    ]);
    expect(third.nextPageToken).toBe("");
    expect(await failure(list({ pageToken: first.nextPageToken }))).toMatchObject({
      code: "INVALID_ARGUMENT",
      violations: [{ field: "page_token" }],
    });
    expect(
      (await failure(list({ pageToken: "{}", states: [SearchState.SEARCH_STATE_UNSPECIFIED] }))).violations,
    ).toEqual(["states[0]", "page_token"].map((field) => expect.objectContaining({ field }) as unknown));
  });

  it("filters by state", async () => {
    const labels = { list: "states" };
    const [kept, ended] = [await begin({ labels }), await begin({ labels })];
    await api.cancelSearch({ searchId: ended.id, reason: "" });
    const found = await list({ labels, states: [SearchState.SEARCH_STATE_CANCELLED] });
    expect(found.searches.map(({ id }) => id)).toEqual([ended.id]);
    expect((await list({ labels })).searches.map(({ id }) => id)).toEqual([ended.id, kept.id]);
  });

  it("has every search on one of its pages, also where a process died before it had listed it", async () => {
    const labels = { list: "many" };
    const { spec, space: own } = resolve(tinySpec({ labels }));
    const ids = Array.from({ length: 230 }, (_, n) => `s-listed-${String(n).padStart(3, "0")}`);
    const records = new Records(bus, SEARCHES_BUCKET, recordCodec);
    // Ended searches, for which no process has anything to do.
    await Promise.all(
      ids.map((id, n) => {
        const record = newRecord(id, { spec, space: own, specSha256: "0" }, new Date(1e12 + n));
        record.search = { ...record.search, state: SearchState.SEARCH_STATE_SUCCEEDED, lastSequence: 1 };
        return records.create(id, record);
      }),
    );
    await new Sweep(bus, projection).run();
    const seen: string[][] = [];
    for (let pageToken = "", first = true; first || pageToken !== ""; first = false) {
      const page = await list({ labels, pageSize: 100, pageToken });
      seen.push(page.searches.map(({ id }) => id));
      pageToken = page.nextPageToken;
    }
    expect(seen.map(({ length }) => length)).toEqual([100, 100, 30]);
    expect(seen.flat()).toEqual([...ids].reverse());
  });

  it("reads only the records of its page", async () => {
    const labels = { list: "reads" };
    for (let n = 0; n < 4; n++) await begin({ labels });
    const asked: string[] = [];
    const listening = Object.create(bus) as Bus;
    listening.request = (subject, payload, options) => {
      asked.push(subject);
      return bus.request(subject, payload, options);
    };
    const other = new Searches(listening, new Projection(listening, host), 1_000);
    const request = { pageSize: 2, pageToken: "", states: [], labels };
    expect((await other.list(request)).searches).toHaveLength(2);
    expect(asked.filter((subject) => subject.endsWith("MSG.GET.KV_SEARCHES"))).toHaveLength(2);
  });

  it("is repaired where a place is older than its record, or the record does not exist", async () => {
    const labels = { list: "mended" };
    const ended = await begin({ labels });
    await api.cancelSearch({ searchId: ended.id, reason: "" });
    const places = new Records(bus, LISTING_BUCKET, placeCodec);
    await places.mutate(ended.id, (place) => ({ ...place!, state: SearchState.SEARCH_STATE_RUNNING, revision: 0 }));
    await places.create("s-nowhere", { createdAt: 0, state: SearchState.SEARCH_STATE_FAILED, labels, revision: 1 });
    // A search is never listed under a state that it has left.
    expect((await list({ labels, states: [SearchState.SEARCH_STATE_RUNNING] })).searches).toEqual([]);
    // Every process sweeps when it starts.
    await new Sweep(bus, projection).run();
    const cancelled = await list({ labels, states: [SearchState.SEARCH_STATE_CANCELLED] });
    expect(cancelled.searches.map(({ id }) => id)).toEqual([ended.id]);
    expect(await places.get("s-nowhere")).toBeUndefined();
  });
});

describe("a search", () => {
  it("runs from its start to its result under a watch, and leaves no gauge", async () => {
    const profiles: WorkItem<"profile">[] = [];
    const derivations: WorkItem<"derive">[] = [];
    const retrains: WorkItem<"retrain">[] = [];
    const onExhausted = () => Promise.resolve();
    const workers = await Promise.all([
      takeWork(bus, {
        queues: [{ kind: "derive" }],
        handler: async (work) => {
          derivations.push(work);
          await publish(work.searchId, made.derived);
        },
        onExhausted,
      }),
      takeWork(bus, {
        queues: [{ kind: "retrain" }],
        handler: async (work) => {
          retrains.push(work);
          await publish(work.searchId, made.retrained(1), made.trained);
        },
        onExhausted,
      }),
      takeWork(bus, {
        queues: [{ kind: "profile", deviceClass: "cpu" }],
        handler: async (work) => {
          profiles.push(work);
          await publish(work.searchId, made.profiled);
        },
        onExhausted,
      }),
    ]);
    opened.push(...workers);
    const { id } = await begin();
    const watching = watchAll(id);
    // Only progress messages show that the first epoch has begun.
    await until(async () => {
      publishProgress(bus, id, { phase: "supernet", epoch: 1, epochs: 2, step: 1, steps: 2, loss: 1 });
      return (await projection.get(id)).search.state === SearchState.SEARCH_STATE_RUNNING;
    });
    await publish(id, made.epoch(1), made.shrunk(1));
    await until(async () => (await scraped(id)).some((line) => line.startsWith("nas_dimension_entropy")));
    const lines = await scraped(id);
    expect(lines.find((line) => line.startsWith("nas_val_score"))).toMatch(/ 0.1$/);
    expect(lines.find((line) => line.includes("nas_search_phase") && line.includes('phase="searching"'))).toMatch(
      / 1$/,
    );
    await publish(id, made.epoch(2), made.kept(2), made.converged);
    const seen = await watching;
    expect(cases(seen)).toEqual([
      "searchCreated",
      ...["epochCompleted", "spaceShrunk", "epochCompleted", "spaceKept", "supernetConverged", "architectureDerived"],
      ...["retrainingEpochCompleted", "networkTrained", "networkProfiled", "searchSucceeded"],
    ]);
    await inState(id, SearchState.SEARCH_STATE_SUCCEEDED);
    const { search } = await api.getSearch({ searchId: id });
    expect(search?.result).toMatchObject({ retrainedMiou: 0.6, provenance: { latheVersion: "1.2.3" } });
    expect(search?.lastSequence).toBe(seen.at(-1)?.sequence);
    expect([derivations.length, retrains.length, profiles.length]).toEqual([1, 1, 1]);
    await until(async () => (await scraped(id)).length === 0);
    expect(await metrics.registry.metrics()).toContain('nas_searches_total{outcome="succeeded"} 1');
    expect(cases(await watchAll(id, seen[8]!.sequence))).toEqual(cases(seen.slice(8)));
    expect(await watchAll(id, seen.at(-1)!.sequence + 1)).toEqual([]);
  });

  it("fails with the reason of its work, or where an event cannot be taken in", async () => {
    const { id } = await begin();
    await publish(id, {
      type: "work.failed",
      data: { phase: "train", reason: "DATASET_INVALID", message: "no train.txt", deliveries: 1, resumption: 0 },
    });
    await inState(id, SearchState.SEARCH_STATE_FAILED);
    expect((await api.getSearch({ searchId: id })).search?.conditions).toMatchObject([
      { type: "Failed", reason: "DATASET_INVALID", message: "no train.txt" },
    ]);

    const lacking = (await begin()).id;
    await publish(lacking, { ...made.derived, data: { ...made.derived.data, weights: undefined } });
    await inState(lacking, SearchState.SEARCH_STATE_FAILED);
    expect((await api.getSearch({ searchId: lacking })).search?.conditions.at(-1)).toMatchObject({
      type: "Failed",
      reason: "EVENT_INCOMPLETE",
    });
  });

  it("takes in events that are delivered again without a second effect", async () => {
    const { id } = await begin();
    await publish(id, made.epoch(1));
    await inState(id, SearchState.SEARCH_STATE_RUNNING);
    const before = await projection.current(id);
    for (const stored of await historyOnce(bus, id)) await projection.take(stored);
    expect(await projection.get(id)).toEqual({ ...before, issued: "train:0" });
    await until(() => trained.some(({ searchId }) => searchId === id));
    expect(trained.filter(({ searchId }) => searchId === id)).toHaveLength(1);
  });

  it("takes in events in the order of the stream, also those that are delivered in another order or never", async () => {
    const { id } = await begin();
    await consumption.stop();
    try {
      await publish(id, made.epoch(1), made.shrunk(1), made.epoch(2), made.kept(2), made.converged);
      const history = await historyOnce(bus, id);
      const inOrder = projectAll(undefined, history);
      const shuffled = [history[3]!, history[1]!, history[5]!, history[2]!];
      for (const stored of shuffled) await projection.take(stored);
      const { search } = await projection.get(id);
      expect(search).toEqual({ ...inOrder?.search, requestId: search.requestId });
    } finally {
      consumption = await consume(bus, projection, observed, { backoffMs: 10 });
    }
  });

  it("takes in an event that its record has missed at the next sweep, and goes on", async () => {
    const { id } = await begin();
    await until(() => trained.some(({ searchId }) => searchId === id));
    await consumption.stop();
    try {
      const sweep = new Sweep(bus, projection);
      await sweep.run();
      await publish(id, made.epoch(1), made.converged);
      const before = await projection.get(id);
      expect(before.issued).toBe("train:0");
      await sweep.run();
      expect(await projection.get(id)).toEqual(before);
      sweep.repairLater(id);
      const { changed } = await sweep.run();
      expect(changed.map((search) => search.id)).toContain(id);
      expect(await projection.get(id)).toMatchObject({
        issued: "derive:0",
        search: { phase: SearchPhase.SEARCH_PHASE_DERIVING },
      });
    } finally {
      consumption = await consume(bus, projection, observed, { backoffMs: 10 });
    }
  });

  it("is derived by this version where an earlier version has left it at its trained supernet", async () => {
    await consumption.stop();
    try {
      const { id } = await begin();
      await publish(id, made.epoch(1), made.converged);
      // Earlier versions issued nothing in this phase: deriving was a reaction to the event, which has been taken in.
      expect(await projection.current(id)).toMatchObject({
        issued: "",
        search: { phase: SearchPhase.SEARCH_PHASE_DERIVING },
      });
      await new Sweep(bus, projection).run();
      expect((await projection.get(id)).issued).toBe("derive:0");
      const query = { last_by_subj: workSubject(id, "derive") };
      const item = await readMessage(bus, WORK_STREAM, query, { what: "the newest derivation" });
      expect(JSON.parse(Buffer.from(item!.data).toString())).toMatchObject({ id: `${id}:derive:0` });
    } finally {
      consumption = await consume(bus, projection, observed, { backoffMs: 10 });
    }
  });

  it("is computed again from its events where its record is lost", async () => {
    const { id } = await begin();
    await publish(id, made.epoch(1));
    await inState(id, SearchState.SEARCH_STATE_RUNNING);
    const before = await projection.current(id);
    await new Records(bus, SEARCHES_BUCKET, Search).delete(id);
    await publish(id, made.kept(1));
    await until(async () => (await new Records(bus, SEARCHES_BUCKET, Search).get(id)) !== undefined);
    const { search } = await projection.current(id);
    expect(search.lastSequence).toBeGreaterThan(before.search.lastSequence);
    expect(search.lastEpoch).toEqual(before.search.lastEpoch);
  });
});

describe("WatchSearch", () => {
  it("ends at once for a client that cancels, and for a search that does not exist", async () => {
    const { id } = await begin();
    const stop = new AbortController();
    const seen: WatchSearchResponse[] = [];
    const run = async () => {
      for await (const each of api.watchSearch(
        { searchId: id, fromSequence: 0, includeProgress: true },
        { signal: stop.signal },
      )) {
        seen.push(each);
        stop.abort();
      }
    };
    expect(await failure(run())).toMatchObject({ code: "CANCELLED" });
    expect(cases(seen)).toEqual(["searchCreated"]);
    expect(await failure(watchAll("s-nowhere"))).toMatchObject({ code: "NOT_FOUND" });
  });

  it("sends progress between events, with sequence 0", async () => {
    const { id } = await begin();
    const seen: WatchSearchResponse[] = [];
    for await (const each of api.watchSearch({ searchId: id, fromSequence: 0, includeProgress: true })) {
      seen.push(each);
      const progress = (step: number) => ({ phase: "supernet", epoch: 1, epochs: 2, step, steps: 9, loss: 0.5 });
      if (seen.length === 1) publishProgress(bus, id, progress(1));
      if (seen.length === 2) await publish(id, made.epoch(1));
      if (seen.length === 3) await api.cancelSearch({ searchId: id, reason: "seen enough" });
    }
    expect(cases(seen)).toEqual(["searchCreated", "trainingProgressed", "epochCompleted", "searchCancelled"]);
    expect(seen[1]).toMatchObject({ sequence: 0, event: { value: { step: 1 } } });
  });
});

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

describe("artifacts", () => {
  it("of the search, and of no other, are listed and downloaded", async () => {
    const { id } = await begin();
    const bytes = Buffer.alloc(600_000, 7);
    const options = { kind: "derived.onnx", mediaType: "application/onnx" };
    const onnx = await new Objects(bus, ARTIFACTS_BUCKET).put(`${id}/derived.onnx`, bytes, options);
    const checkpoint = await new Objects(bus, CHECKPOINTS_BUCKET).put(`${id}/supernet`, Buffer.from("weights"), {
      ...options,
      kind: "checkpoint",
    });
    const foreign = await new Objects(bus, ARTIFACTS_BUCKET).put(`s-another/x`, bytes, options);
    await publish(
      id,
      { ...made.converged, data: { ...made.converged.data, checkpoint } },
      { ...made.derived, data: { ...made.derived.data, onnx } },
    );
    await until(async () => (await api.listArtifacts({ searchId: id })).artifacts.length === 3);
    const download = async (object: string) => {
      const chunks: Buffer[] = [];
      for await (const { chunk } of api.downloadArtifact({ searchId: id, object })) chunks.push(chunk);
      return chunks;
    };
    const chunks = await download(onnx.object);
    expect(Buffer.concat(chunks).equals(bytes)).toBe(true);
    expect(Math.max(...chunks.map(({ length }) => length))).toBe(256 * 1024);
    expect(Buffer.concat(await download(checkpoint.object)).toString()).toBe("weights");
    expect(await failure(download(foreign.object))).toMatchObject({ code: "NOT_FOUND", reason: "ARTIFACT_NOT_FOUND" });
  });
});

describe("admission", () => {
  it("bounds the searches that are open, counts each once, and lets a repetition of a start through", async () => {
    const own = await startTestBus();
    const lone = new Projection(own.bus, host);
    const searches = new Searches(own.bus, lone, 3);
    const start = (requestId = "") => searches.start({ spec: tinySpec(), requestId });
    const refused = {
      code: "RESOURCE_EXHAUSTED",
      reason: "TOO_MANY_SEARCHES",
      message: expect.stringContaining("3 searches are pending, running or paused, at most 3 may") as string,
      retryAfterMs: 30_000,
    };
    const first = await start("req-first");
    const outcomes = await Promise.allSettled([start(), start(), start(), start(), start()]);
    const started = outcomes.flatMap((each) => (each.status === "fulfilled" ? [each.value.id] : []));
    expect(new Set([first.id, ...started]).size).toBeLessThanOrEqual(3);
    while ((await lone.places.list()).length < 3) await start();
    await expect(start("req-late")).rejects.toMatchObject(refused);
    expect((await start("req-first")).id).toBe(first.id);
    await searches.pause(first.id);
    await expect(start("req-late")).rejects.toMatchObject(refused);
    await searches.cancel(first.id, "");
    expect((await start("req-late")).id).not.toBe(first.id);
    await own.bus.drain();
    await own.nats.stop();
  });

  it("tells a client of gRPC when to try again", async () => {
    const own = await startTestBus();
    const busy = await startRpc([searchService(own.bus, new Projection(own.bus, host), 1)]);
    const client = busy.connect(SearchServiceClient).api;
    await client.startSearch({ spec: tinySpec(), requestId: "" });
    expect(await failure(client.startSearch({ spec: tinySpec(), requestId: "" }))).toMatchObject({
      code: "RESOURCE_EXHAUSTED",
      reason: "TOO_MANY_SEARCHES",
      retryAfterMs: 30_000,
    });
    await busy.stop();
    await own.bus.drain();
    await own.nats.stop();
  });
});

describe("a message that is no event", () => {
  const letters = async () => (await api.listDeadLetters({ pageSize: 200, fromSequence: 0 })).deadLetters;

  it("moves to the dead letters with its cause; searches go on, and the one that its subject names does not fail", async () => {
    const { id } = await begin();
    const poison: Record<string, string> = {
      [eventSubject(id, "epoch.completed")]: "no envelope",
      [`lathe.events.${id}.no.such.event`]: JSON.stringify({ specversion: "1.0", type: "lathe.v1.no.such.event" }),
      "lathe.events.BAD_Id.search.created": "\u0000\u00ff",
      "lathe.events.unknown-id.search.created": "[]",
    };
    for (const [subject, text] of Object.entries(poison)) await bus.connection.request(subject, text);
    await publish(id, made.epoch(1));
    await inState(id, SearchState.SEARCH_STATE_RUNNING);
    const found = await until(letters, (seen) =>
      Object.keys(poison).every((each) => seen.some(({ subject }) => subject === each)),
    );
    for (const [subject, text] of Object.entries(poison)) {
      const { sequence, ...letter } = found.find((each) => each.subject === subject)!;
      expect(letter).toMatchObject({
        stream: "EVENTS",
        consumer: "search-projection",
        reason: "ENVELOPE_MALFORMED",
        attempts: 1,
      });
      const { deadLetter } = await api.getDeadLetter({ sequence });
      expect(Buffer.from(deadLetter!.data).toString()).toBe(text);
      await until(
        async () =>
          (await readMessage(bus, EVENTS_STREAM, { seq: letter.messageSequence }, { what: "it" })) === undefined,
      );
      await api.dropDeadLetter({ sequence });
      await api.dropDeadLetter({ sequence });
      expect(await failure(api.getDeadLetter({ sequence }))).toMatchObject({
        code: "NOT_FOUND",
        reason: "DEAD_LETTER_NOT_FOUND",
      });
    }
    expect((await letters()).filter(({ subject }) => subject in poison)).toEqual([]);
    expect((await api.getSearch({ searchId: id })).search?.conditions.map(({ type }) => type)).not.toContain("Failed");
  });

  it("is listed page by page, and a wrong page size or sequence is refused by name", async () => {
    for (const n of [1, 2, 3]) await bus.connection.request(`lathe.events.BAD_${n}.search.created`, "x");
    const mine = (all: { subject: string }[]) => all.filter(({ subject }) => /BAD_[123]/.test(subject)).length;
    const { total } = await until(
      () => api.listDeadLetters({ pageSize: 200, fromSequence: 0 }),
      (page) => mine(page.deadLetters) === 3,
    );
    const sequences: number[] = [];
    for (let from = 0, first = true; first || from > 0; first = false) {
      const { deadLetters, nextFromSequence } = await api.listDeadLetters({ pageSize: 1, fromSequence: from });
      sequences.push(...deadLetters.map(({ sequence }) => sequence));
      from = nextFromSequence;
    }
    expect(sequences).toEqual([...new Set(sequences)].sort((a, b) => a - b));
    expect(sequences).toHaveLength(total);
    for (const [call, field] of [
      [api.listDeadLetters({ pageSize: 201, fromSequence: 0 }), "page_size"],
      [api.getDeadLetter({ sequence: 0 }), "sequence"],
      [api.dropDeadLetter({ sequence: 0 }), "sequence"],
    ] as const)
      expect(await failure(call as Promise<unknown>)).toMatchObject({
        code: "INVALID_ARGUMENT",
        violations: [{ field }],
      });
  });
});

describe("the work of a search that ends", () => {
  const queued = async (id: string) =>
    (await Promise.all(workFilters(id).map((filter) => listSubjects(bus, WORK_STREAM, filter)))).flatMap((found) => [
      ...found.keys(),
    ]);
  const measured = { cost: { metric: CostMetric.COST_METRIC_LATENCY }, profiling: { deviceClass: "gpu0" } };

  it("leaves the queue, although no worker serves its device class", async () => {
    const { id } = await begin(measured);
    await until(async () => (await queued(id)).length === 1);
    await api.cancelSearch({ searchId: id, reason: "" });
    await until(async () => (await queued(id)).length === 0);
  });

  it("leaves the queue where it was queued after the end, by a process that died since", async () => {
    const { id } = await begin(measured);
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
    const { id } = await begin(measured);
    await until(async () => (await queued(id)).length === 1);
    await consumption.stop();
    try {
      // The cancellation is removed before the watch has read it, as on a busy machine.
      const open = watch(bus, new Feeds(bus, projection), (await projection.get(id)).search, {
        ...{ fromSequence: 0, includeProgress: false, signal: patience() },
      });
      expect((await open.next()).value).toMatchObject({ event: { $case: "searchCreated" } });
      await purgeSearch(bus, id);
      expect(await queued(id)).toEqual([]);
      expect(await open.next()).toMatchObject({ done: true });
    } finally {
      consumption = await consume(bus, projection, observed, { backoffMs: 10 });
    }
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
