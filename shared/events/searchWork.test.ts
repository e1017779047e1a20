import { LatheError } from "../process/errors";
import {
  ArchitectureDerived,
  DeriveWork,
  EpochCompleted,
  SearchCreated,
  SpaceKept,
  SupernetConverged,
  WorkFailed,
} from "../proto/lathe/v1/events";
import { startTestBus, workIsDone } from "../testing/bus";
import { uniqueSearchId, type TestNats } from "../testing/nats";
import { until } from "../testing/until";
import type { Bus } from "./bus";
import type { LatheEvent } from "./catalog";
import { historyOnce } from "./history";
import { publishEvent, publishWork } from "./publisher";
import type { Consumption } from "./pulls";
import { purgeSearch } from "./purge";
import { consumeWork } from "./searchWork";

let nats: TestNats;
let bus: Bus;
const open: Consumption[] = [];
beforeAll(async () => {
  ({ nats, bus } = await startTestBus());
});
afterEach(async () => void (await Promise.all(open.splice(0).map((consumption) => consumption.stop()))));
afterAll(async () => {
  await bus?.drain();
  await nats?.stop();
});

async function work(options: Partial<Parameters<typeof consumeWork<"derive">>[1]>, on = bus): Promise<Consumption> {
  const consumption = await consumeWork<"derive">(on, {
    queues: [{ kind: "derive" }],
    over: () => ({ "architecture.derived": "the network is derived" }),
    handler: () => Promise.resolve(),
    backoffMs: 1,
    ...options,
  });
  open.push(consumption);
  return consumption;
}
async function newSearch(): Promise<string> {
  const id = uniqueSearchId();
  await publishEvent(bus, id, { type: "search.created", data: SearchCreated.fromPartial({}) });
  return id;
}
const queue = (searchId: string, resumption = 0) =>
  publishWork(bus, { searchId, kind: "derive", data: DeriveWork.fromPartial({ resumption }), ordinal: resumption });
const names = async (id: string) => (await historyOnce(bus, id)).map(({ event }) => event.type);

it("does not fail a search whose item is exhausted after its result was published", async () => {
  const id = await newSearch();
  await work({
    maxDeliveries: 1,
    handler: async () => {
      await publishEvent(bus, id, { type: "architecture.derived", data: ArchitectureDerived.fromPartial({}) });
      throw new Error("died before the acknowledgement");
    },
  });
  await queue(id);
  await until(async () => (await names(id)).includes("architecture.derived"));
  await workIsDone(bus);
  expect(await names(id)).toEqual(["search.created", "architecture.derived"]);
});

it("carries out an item with the history of its search", async () => {
  const id = await newSearch();
  await queue(id);
  const seen: string[] = [];
  await work({
    handler: (_, { history }) => Promise.resolve(void seen.push(...history.map(({ event }) => event.type))),
  });
  await workIsDone(bus);
  expect(seen).toEqual(["search.created"]);
});

it("skips an item that its search does not need", async () => {
  const id = await newSearch();
  await publishEvent(bus, id, { type: "search.cancelled", data: { reason: "" } });
  await queue(id);
  const unwanted: string[] = [];
  let handled = 0;
  await work({ handler: () => Promise.resolve(void handled++), onUnwanted: (item) => unwanted.push(item.searchId) });
  await workIsDone(bus);
  expect({ unwanted, handled }).toEqual({ unwanted: [id], handled: 0 });
});

it.each<[LatheEvent, string]>([
  [{ type: "search.cancelled", data: { reason: "" } }, "SEARCH_CANCELLED"],
  [{ type: "search.paused", data: {} }, "SEARCH_PAUSED"],
  [{ type: "work.failed", data: WorkFailed.fromPartial({}) }, "SEARCH_FAILED"],
])("stops at %p, and reports no failure", async (event, reason) => {
  const id = await newSearch();
  await queue(id);
  const reasons: string[] = [];
  const unwanted: string[] = [];
  await work({
    handler: (_, { signal, held }) =>
      new Promise<void>((_resolve, reject) => {
        signal.addEventListener("abort", () => {
          const why = LatheError.from(signal.reason);
          reasons.push(`${why.reason} ${held.aborted}`);
          reject(why);
        });
        void publishEvent(bus, id, event);
      }),
    onUnwanted: (item) => unwanted.push(item.searchId),
  });
  await workIsDone(bus);
  expect({ reasons, unwanted }).toEqual({ reasons: [`${reason} false`], unwanted: [id] });
  expect(await names(id)).toEqual(["search.created", event.type]);
});

it("stops at the deletion of its search, of which no event tells, and removes what it has stored since", async () => {
  const id = await newSearch();
  await queue(id);
  const seen: string[] = [];
  await work({
    handler: (_, { signal }) =>
      new Promise<void>((_resolve, reject) => {
        signal.addEventListener("abort", () => {
          seen.push(LatheError.from(signal.reason).reason);
          reject(LatheError.from(signal.reason));
        });
        // The worker has not heard of the deletion: its next event is stored as any other.
        void purgeSearch(bus, id).then(() =>
          publishEvent(bus, id, { type: "space.kept", data: { epoch: 1, converged: false } }),
        );
      }),
    onUnwanted: () => seen.push("unwanted"),
    onDeleted: (searchId) => Promise.resolve(void seen.push(`removed ${searchId === id}`)),
  });
  await until(() => seen.length === 3);
  await workIsDone(bus);
  expect(seen).toEqual(["SEARCH_DELETED", "removed true", "unwanted"]);
  expect(await names(id)).toEqual(["space.kept"]);
});

it("skips an item of a deleted search although a worker has published events since", async () => {
  const id = uniqueSearchId();
  await publishEvent(bus, id, { type: "space.kept", data: { epoch: 1, converged: false } });
  await queue(id);
  let handled = 0;
  await work({ handler: () => Promise.resolve(void handled++) });
  await workIsDone(bus);
  expect(handled).toBe(0);
});

it("repeats a failure that may heal a bounded number of times, then fails the search with the cause, and goes on", async () => {
  const [ill, well] = [await newSearch(), await newSearch()];
  await queue(ill);
  await queue(well);
  const seen: string[] = [];
  await work({
    handler: ({ searchId }) => {
      seen.push(searchId === ill ? "ill" : "well");
      if (searchId === well) return Promise.resolve();
      return Promise.reject(new LatheError("UNAVAILABLE", "its process died", { reason: "WORKER_DIED" }));
    },
  });
  await workIsDone(bus);
  expect(seen.sort()).toEqual(["ill", "ill", "ill", "well"]);
  expect((await historyOnce(bus, ill)).at(-1)?.event).toEqual({
    type: "work.failed",
    data: { phase: "derive", reason: "WORKER_DIED", message: "its process died", deliveries: 3, resumption: 0 },
  });
});

it("fails no search for deaths between which its work went on, and fails it after three without progress", async () => {
  const id = await newSearch();
  await queue(id);
  let deaths = 0;
  const died = () => Promise.reject(new LatheError("UNAVAILABLE", "its process died", { reason: "WORKER_DIED" }));
  await work({
    milestones: () => ["epoch.completed"],
    handler: async () => {
      deaths++;
      const data = EpochCompleted.fromPartial({ metrics: { epoch: Math.min(5, deaths) } });
      await publishEvent(bus, id, { type: "epoch.completed", data });
      return died();
    },
  });
  await workIsDone(bus);
  // The fifth death is the last that follows an epoch.
  expect(deaths).toBe(8);
  expect((await historyOnce(bus, id)).at(-1)?.event).toMatchObject({ type: "work.failed", data: { deliveries: 3 } });

  await publishEvent(bus, id, { type: "search.resumed", data: { resumption: 1 } });
  deaths = 5;
  await queue(id, 1);
  await until(async () => (await names(id)).filter((name) => name === "work.failed").length === 2);
  // The epochs of the item before are no progress of this one.
  expect(deaths).toBe(8);
});

it("counts an item as failed, not as done, where its search can no longer be followed", async () => {
  const id = await newSearch();
  let broken = false;
  const request = (...parameters: Parameters<Bus["request"]>) =>
    broken ? Promise.reject(new LatheError("INTERNAL", "no such stream")) : bus.request(...parameters);
  const faulty = new Proxy(bus, {
    get: (target, name) => (name === "request" ? request : (Reflect.get(target, name, target) as unknown)),
  });
  await queue(id);
  const seen: string[] = [];
  await work(
    {
      handler: (_, { signal }) => {
        if (seen.push("taken") > 1) return Promise.resolve();
        return new Promise<void>((_resolve, reject) => {
          signal.addEventListener("abort", () => {
            broken = false;
            seen.push(LatheError.from(signal.reason).message);
            reject(LatheError.from(signal.reason));
          });
          broken = true;
          // The next event makes the watch read, which fails.
          void publishEvent(bus, id, { type: "space.kept", data: { epoch: 1, converged: false } });
        });
      },
    },
    faulty,
  );
  await workIsDone(bus);
  expect(seen).toEqual(["taken", "no such stream", "taken"]);
  expect(await names(id)).not.toContain("work.failed");
});

describe("an item whose data set is gone", () => {
  const gone = () => new LatheError("NOT_FOUND", "camvid folder /data does not exist", { reason: "DATASET_INVALID" });
  const converged: LatheEvent = { type: "supernet.converged", data: SupernetConverged.fromPartial({}) };

  it("lets others have their turn, and is carried out once the data set is back, with the history of then", async () => {
    const [id, other] = [await newSearch(), await newSearch()];
    await publishEvent(bus, id, converged);
    for (const searchId of [id, other]) await queue(searchId);
    const seen: string[] = [];
    await work({
      // A wait is no failed attempt.
      maxDeliveries: 1,
      handler: async ({ searchId }, { history }) => {
        seen.push(`${searchId === id ? "waiting" : "other"} ${history.length}`);
        if (searchId === other) return;
        if (seen.length === 1)
          await publishEvent(bus, id, { type: "space.kept", data: SpaceKept.fromPartial({ epoch: 1 }) });
        if (!seen.includes("other 1")) throw gone();
      },
    });
    await workIsDone(bus);
    expect([seen[0], seen.at(-2), seen.at(-1)]).toEqual(["waiting 2", "other 1", "waiting 3"]);
    expect(await names(id)).toEqual(["search.created", "supernet.converged", "space.kept"]);
  });

  it("pauses its search with the reason after a while, and is carried out after each resumption", async () => {
    const id = await newSearch();
    await publishEvent(bus, id, converged);
    let back = false;
    await work({ maxWaits: 1, handler: () => (back ? Promise.resolve() : Promise.reject(gone())) });
    for (const resumption of [0, 1]) {
      await queue(id, resumption);
      await until(async () => (await names(id)).at(-1) === "search.paused");
      expect((await historyOnce(bus, id)).at(-1)?.event.data).toEqual({
        reason: "DATASET_UNREACHABLE",
        message: "camvid folder /data does not exist",
      });
      await publishEvent(bus, id, { type: "search.resumed", data: { resumption: resumption + 1 } });
    }
    back = true;
    await queue(id, 2);
    await workIsDone(bus);
    const paused = ["search.paused", "search.resumed"];
    expect(await names(id)).toEqual(["search.created", "supernet.converged", ...paused, ...paused]);
  });

  it("fails a search that has read no data yet, and one whose data set is broken", async () => {
    const [early, broken] = [await newSearch(), await newSearch()];
    await publishEvent(bus, broken, converged);
    const fault = new LatheError("INVALID_ARGUMENT", "a.png is not a PNG", { reason: "DATASET_INVALID" });
    await work({ handler: ({ searchId }) => Promise.reject(searchId === early ? gone() : fault) });
    for (const id of [early, broken]) {
      await queue(id);
      await until(async () => (await names(id)).at(-1) === "work.failed");
    }
  });
});
