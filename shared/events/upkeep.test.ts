import { renameSync, writeFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SearchCreated } from "../proto/lathe/v1/events";
import { quiet } from "../testing/bus";
import { startNats, uniqueSearchId, type TestNats } from "../testing/nats";
import { until } from "../testing/until";
import { connect, type Bus } from "./bus";
import { consumeEvents } from "./consumer";
import { awaitEvent, historyOnce } from "./history";
import { api, store } from "./jetstream";
import { publishEvent } from "./publisher";
import { Records } from "./records";
import { streamInfo } from "./streams";
import { ALL_EVENTS, EVENTS_STREAM, SEARCHES_BUCKET, WORK_STREAM } from "./subjects";
import { Upkeep } from "./upkeep";

const open: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});
async function start(
  nats: TestNats,
  url = nats.url,
  said: string[] = [],
): Promise<{ bus: Bus; upkeep: Upkeep; stop: () => void }> {
  const logger = { ...quiet, error: (text: string) => void said.push(text) };
  const bus = await connect({ url, name: "test", logger });
  const stopping = new AbortController();
  const stop = () => stopping.abort();
  open.push(() => bus.drain(), stop);
  bus.room.follow();
  return { bus, upkeep: await Upkeep.start(bus, {}, stopping.signal), stop };
}
async function server(...settings: string[]): Promise<TestNats> {
  const nats = await startNats(settings);
  open.push(() => nats.stop());
  return nats;
}
const codec = { toJSON: (value: string) => value, fromJSON: (json: unknown) => json as string };
const created: Parameters<typeof publishEvent>[2] = { type: "search.created", data: SearchCreated.fromPartial({}) };

describe("NATS that comes back with an empty store", () => {
  /** Restarts the server with an empty store. */
  const loseStore = async (nats: TestNats) => {
    await nats.kill();
    renameSync(nats.store, `${nats.store}.lost`);
    await nats.restart();
  };

  it("gets its streams again; who waits for a lost search is told, and new searches work without a restart", async () => {
    const nats = await server();
    const said: string[] = [];
    const { bus, upkeep } = await start(nats, nats.url, said);
    const [lost, next] = [uniqueSearchId(), uniqueSearchId()];
    const handled: string[] = [];
    const consumption = await consumeEvents(bus, {
      durable: "search-projection",
      filter: ALL_EVENTS,
      handler: ({ searchId }) => Promise.resolve(void handled.push(searchId)),
      onGivenUp: () => {},
    });
    open.push(() => consumption.stop());
    const records = new Records(bus, SEARCHES_BUCKET, codec);
    for (const key of ["a", "b", "c"]) await records.create(key, "old");
    expect(await records.list()).toHaveLength(3);
    await publishEvent(bus, lost, created);
    await until(() => handled.includes(lost));
    const waiting = awaitEvent(
      bus,
      lost,
      0,
      ({ event }) => event.type === "search.failed",
      new AbortController().signal,
    );
    const ended = expect(waiting).rejects.toMatchObject({
      code: "NOT_FOUND",
      reason: "SEARCH_LOST",
      message: `search ${lost} is lost: NATS has come back without the streams that held it`,
    });
    await loseStore(nats);
    await ended;
    await until(async () => upkeep.fault() === undefined && (await streamInfo(bus, "OBJ_ARTIFACTS")) !== undefined);
    expect(said).toContain("NATS has lost streams and all that they held: they are made anew");
    expect(await historyOnce(bus, lost)).toEqual([]);
    await publishEvent(bus, next, created);
    await until(() => handled.includes(next));
    // The revisions of the new bucket begin anew, below those of the copy.
    const { revision } = (await records.mutate("d", () => "new"))!;
    expect((await records.list()).map(({ value }) => value)).toEqual(["new"]);
    await records.update("d", "newer", revision);
    expect((await records.list()).map(({ value }) => value)).toEqual(["newer"]);
  });

  it("makes a service that may not make streams say so, until another has made them", async () => {
    const folder = mkdtempSync(join(tmpdir(), "lathe-upkeep-"));
    open.push(() => rmSync(folder, { recursive: true }));
    const file = join(folder, "nats.conf");
    const user = (name: string, permissions = "") => `{ user: ${name}, password: "correct-horse"${permissions} }`;
    const none = ', permissions: { publish: { deny: ["$JS.API.STREAM.CREATE.*"] } }';
    writeFileSync(file, `authorization { users = [ ${user("all")}, ${user("some", none)} ] }`);
    const nats = await server("-c", file);
    const as = (name: string) => nats.url.replace("//", `//${name}:correct-horse@`);
    const { stop, bus: first } = await start(nats, as("all"));
    const { upkeep } = await start(nats, as("some"));
    stop();
    await first.drain();
    await loseStore(nats);
    const why = await until(() => upkeep.fault());
    expect(why).toMatch(/^streams EVENTS, WORK, .+ are missing, and are not made yet$/);
    await start(nats, as("all"));
    await until(() => upkeep.fault() === undefined);
  });

  it("is told from one that comes back with what it held", async () => {
    const nats = await server();
    const { bus, upkeep } = await start(nats);
    const id = uniqueSearchId();
    await publishEvent(bus, id, created);
    await api(bus, { what: "limit" }, ({ streams }) => streams.update(EVENTS_STREAM, { max_bytes: 1e6 }));
    await nats.restart();
    await until(() => bus.counters.reconnects === 1 && bus.status().connected);
    // A stream that is gone is noticed after the reconnection has been looked into.
    await api(bus, { what: "deletion" }, ({ streams }) => streams.delete(WORK_STREAM));
    const lost = new Promise<readonly string[]>((resolve) => bus.onLoss(resolve));
    await expect(api(bus, { what: "work" }, ({ streams }) => streams.info(WORK_STREAM))).rejects.toThrow(
      /NATS has lost it/,
    );
    expect(await lost).toEqual([WORK_STREAM]);
    await until(async () => (await streamInfo(bus, WORK_STREAM)) !== undefined && upkeep.fault() === undefined);
    expect(await historyOnce(bus, id)).toHaveLength(1);
    expect(bus.losses).toBe(1);
    // The settings of an operator stay, though the stream of work was made again.
    expect((await streamInfo(bus, EVENTS_STREAM))?.config.max_bytes).toBe(1e6);
  });
});

describe("a store without room", () => {
  it("is known to all services once one of them is refused, until there is room again", async () => {
    const folder = mkdtempSync(join(tmpdir(), "lathe-upkeep-"));
    open.push(() => rmSync(folder, { recursive: true }));
    const file = join(folder, "nats.conf");
    writeFileSync(file, "jetstream { max_file_store: 1MB }");
    const nats = await server("-c", file);
    const { bus: writer } = await start(nats);
    const { bus: idle } = await start(nats);
    const fill = { name: "FILL", subjects: ["fill"] };
    await api(writer, { what: "" }, ({ streams }) => streams.add(fill));
    const put = async (bytes: number) =>
      store(writer, "fill", Buffer.alloc(bytes), { what: "filling", msgId: uniqueSearchId(), retryForMs: 0 });
    await expect(
      (async () => {
        for (;;) await put(100_000);
      })(),
    ).rejects.toMatchObject({ code: "RESOURCE_EXHAUSTED", reason: "STORAGE_FULL" });
    await until(() => idle.room.fault());
    expect(idle.room.fault()).toMatch(/NATS storage is full/);
    await api(writer, { what: "" }, ({ streams }) => streams.delete("FILL"));
    await publishEvent(writer, uniqueSearchId(), created);
    await until(() => idle.room.fault() === undefined);
    expect(writer.room.fault()).toBeUndefined();
  });

  it("of one stream alone concerns its writers alone", async () => {
    const nats = await server();
    const { bus: writer } = await start(nats);
    const { bus: idle } = await start(nats);
    await api(writer, { what: "" }, ({ streams }) => streams.update(EVENTS_STREAM, { max_bytes: 10 }));
    await expect(publishEvent(writer, uniqueSearchId(), created)).rejects.toMatchObject({ reason: "STORAGE_FULL" });
    const news = new Promise<void>((resolve) => {
      idle.connection.subscribe("lathe.after", { callback: () => resolve() });
    });
    await idle.flush();
    writer.connection.publish("lathe.after");
    await news;
    expect([writer.room.fault() !== undefined, idle.room.fault()]).toEqual([true, undefined]);
  });
});

it("JetStream that does not answer, though NATS does, is told with what to do, and every request is refused at once", async () => {
  const folder = mkdtempSync(join(tmpdir(), "lathe-upkeep-"));
  open.push(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "nats.conf");
  const account = (jetstream: string) =>
    writeFileSync(file, `accounts { A { jetstream: ${jetstream}, users: [{ user: a, password: "correct-horse" }] } }`);
  account("enabled");
  const nats = await server("-c", file);
  const said: string[] = [];
  const { bus, upkeep } = await start(nats, nats.url.replace("//", "//a:correct-horse@"), said);
  // Leaves requests to JetStream without an answer, as nats-server 2.9 does whose disk is full. Servers from 2.12 on answer that it is off.
  account("disabled");
  nats.reload();
  const why = await until(() => upkeep.fault());
  expect(why).toMatch(/^JetStream does not answer, though NATS does: .* restart NATS|JetStream not enabled/);
  expect(said.at(-1)).toContain(why);
  await expect(publishEvent(bus, uniqueSearchId(), created, { retryForMs: 0 })).rejects.toMatchObject(
    bus.room.isOff ? { code: "RESOURCE_EXHAUSTED", reason: "STORAGE_FULL" } : { code: "UNAVAILABLE" },
  );
  account("enabled");
  await nats.restart();
  await until(() => upkeep.fault() === undefined);
  await publishEvent(bus, uniqueSearchId(), created);
});
