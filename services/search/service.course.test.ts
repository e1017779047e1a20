import { historyOnce } from "../../shared/events/history";
import { readMessage } from "../../shared/events/jetstream";
import { publishProgress } from "../../shared/events/publisher";
import { Records } from "../../shared/events/records";
import { SEARCHES_BUCKET, WORK_STREAM, workSubject } from "../../shared/events/subjects";
import { takeWork, type WorkItem } from "../../shared/events/work";
import { SearchPhase, SearchState, Search, type WatchSearchResponse } from "../../shared/proto/lathe/v1/search";
import { projectAll } from "./lifecycle";
import { Sweep } from "./sweep";
import { until } from "../../shared/testing/until";
import {
  made,
  bus,
  projection,
  metrics,
  trained,
  opened,
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
    await withoutConsumer(async () => {
      await publish(id, made.epoch(1), made.shrunk(1), made.epoch(2), made.kept(2), made.converged);
      const history = await historyOnce(bus, id);
      const inOrder = projectAll(undefined, history);
      const shuffled = [history[3]!, history[1]!, history[5]!, history[2]!];
      for (const stored of shuffled) await projection.take(stored);
      const { search } = await projection.get(id);
      expect(search).toEqual({ ...inOrder?.search, requestId: search.requestId });
    });
  });

  it("takes in an event that its record has missed at the next sweep, and goes on", async () => {
    const { id } = await begin();
    await until(() => trained.some(({ searchId }) => searchId === id));
    await withoutConsumer(async () => {
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
    });
  });

  it("is derived by this version where an earlier version has left it at its trained supernet", async () => {
    await withoutConsumer(async () => {
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
    });
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
