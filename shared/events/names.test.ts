import { SearchCreated, SpaceKept, TrainWork, TrainingProgressed } from "../proto/lathe/v1/events";
import { quiet } from "../testing/bus";
import { startNats, uniqueSearchId, type TestNats } from "../testing/nats";
import { until } from "../testing/until";
import { connect, type Bus } from "./bus";
import type { StoredEvent } from "./catalog";
import { consumeEvents } from "./consumer";
import { historyOnce } from "./history";
import { inspect } from "./inspect";
import { api, listSubjects, readDirect } from "./jetstream";
import { Names } from "./names";
import { Objects } from "./objects";
import { ensureDurable } from "./pull";
import { publishEvent, publishProgress, publishWork, subscribeProgress } from "./publisher";
import { purgeSearch } from "./purge";
import { Records } from "./records";
import { provision, streamSettings } from "./streams";
import { ALL_EVENTS, ARTIFACTS_BUCKET, EVENTS_STREAM, SEARCHES_BUCKET, WORK_STREAM } from "./subjects";
import { takeWork } from "./work";

describe("names with a prefix", () => {
  const names = new Names("a");

  it.each([
    ["lathe.events.s-1.space.kept", "a.lathe.events.s-1.space.kept"],
    ["lathe.storage", "a.lathe.storage"],
    ["$KV.SEARCHES.s-1", "$KV.a_SEARCHES.s-1"],
    ["$O.ARTIFACTS.C.>", "$O.a_ARTIFACTS.C.>"],
    ["$JS.API.STREAM.INFO.EVENTS", "$JS.API.STREAM.INFO.a_EVENTS"],
    ["$JS.API.STREAM.MSG.GET.KV_SEARCHES", "$JS.API.STREAM.MSG.GET.KV_a_SEARCHES"],
    ["$JS.API.DIRECT.GET.OBJ_ARTIFACTS", "$JS.API.DIRECT.GET.OBJ_a_ARTIFACTS"],
    ["$JS.API.CONSUMER.DURABLE.CREATE.WORK.work-train", "$JS.API.CONSUMER.DURABLE.CREATE.a_WORK.work-train"],
    ["$JS.API.CONSUMER.MSG.NEXT.EVENTS.search-projection", "$JS.API.CONSUMER.MSG.NEXT.a_EVENTS.search-projection"],
    ["$JS.API.INFO", "$JS.API.INFO"],
    ["$JS.API.STREAM.NAMES", "$JS.API.STREAM.NAMES"],
    ["$JS.ACK.a_WORK.work-train.1.2.3.4.5", "$JS.ACK.a_WORK.work-train.1.2.3.4.5"],
    ["_INBOX_a_search.x", "_INBOX_a_search.x"],
  ])("%s is %s", (own, onServer) => {
    expect(names.subject(own)).toBe(onServer);
    expect(new Names("").subject(own)).toBe(own);
  });

  it("of every stream and its subjects can be taken back", () => {
    for (const { name, subjects = [] } of streamSettings()) {
      expect(names.stream(name)).not.toBe(name);
      expect(names.streamOf(names.stream(name))).toBe(name);
      for (const subject of subjects) {
        expect(names.subject(subject)).not.toBe(subject);
        expect(names.subjectOf(names.subject(subject))).toBe(subject);
      }
    }
    expect(names.streamOf("b_EVENTS")).toBe("b_EVENTS");
    expect(names.subjectOf("ab.lathe.events.>")).toBe("ab.lathe.events.>");
  });
});

describe("installations in one account", () => {
  let nats: TestNats;
  const buses: Bus[] = [];
  beforeAll(async () => {
    nats = await startNats();
    for (const prefix of ["", "a", "b"]) {
      const bus = await connect({ url: nats.url, name: "test", logger: quiet, prefix });
      buses.push(bus);
      await provision(bus);
    }
  });
  afterAll(async () => {
    for (const bus of buses) await bus.drain();
    await nats.stop();
  });
  const codec = { toJSON: (value: string) => value, fromJSON: (json: unknown) => json as string };

  it("run the same search side by side, and neither sees the other", async () => {
    const id = uniqueSearchId();
    const [plain, a, b] = buses as [Bus, Bus, Bus];
    const events = new Map<Bus, StoredEvent[]>(buses.map((bus) => [bus, []]));
    const worked = new Map<Bus, string[]>(buses.map((bus) => [bus, []]));
    const progress = new Map<Bus, number[]>(buses.map((bus) => [bus, []]));
    const open = await Promise.all(
      buses.flatMap((bus) => [
        consumeEvents(bus, {
          durable: "search-projection",
          filter: ALL_EVENTS,
          handler: (stored) => Promise.resolve(void events.get(bus)!.push(stored)),
          onGivenUp: () => {},
        }),
        takeWork(bus, {
          queues: [{ kind: "train" }],
          handler: ({ id }) => Promise.resolve(void worked.get(bus)!.push(id)),
          onExhausted: () => Promise.resolve(),
        }),
      ]),
    );
    for (const bus of buses) subscribeProgress(bus, id, ({ epoch }) => progress.get(bus)!.push(epoch));
    const run = async (bus: Bus, epoch: number) => {
      await publishEvent(bus, id, { type: "search.created", data: SearchCreated.fromPartial({}) });
      await publishEvent(bus, id, { type: "space.kept", data: SpaceKept.fromPartial({ epoch }) });
      await publishWork(bus, { searchId: id, kind: "train", data: TrainWork.fromPartial({}), ordinal: epoch });
      publishProgress(bus, id, TrainingProgressed.fromPartial({ epoch }));
      await new Records(bus, SEARCHES_BUCKET, codec).create(id, `of ${epoch}`);
      return new Objects(bus, ARTIFACTS_BUCKET).put(`${id}/network`, Buffer.from(`network ${epoch}`), {
        kind: "onnx",
        mediaType: "application/octet-stream",
      });
    };
    const stored = [await run(plain, 1), await run(a, 2), await run(b, 3)];
    for (const [index, bus] of buses.entries()) {
      const epoch = index + 1;
      await until(() => events.get(bus)!.length >= 2 && worked.get(bus)!.length >= 1 && progress.get(bus)!.length >= 1);
      expect(worked.get(bus)).toEqual([`${id}:train:${epoch}`]);
      expect(progress.get(bus)).toEqual([epoch]);
      expect(await historyOnce(bus, id)).toEqual(events.get(bus));
      expect(events.get(bus)!.map(({ event }) => event.type)).toEqual(["search.created", "space.kept"]);
      const records = new Records(bus, SEARCHES_BUCKET, codec);
      expect((await records.list()).map(({ key, value }) => [key, value])).toEqual([[id, `of ${epoch}`]]);
      const objects = new Objects(bus, ARTIFACTS_BUCKET);
      expect(await objects.list(`${id}/`)).toEqual([stored[index]!.object]);
      expect(Buffer.from(await objects.get(stored[index]!)).toString()).toBe(`network ${epoch}`);
      const direct = await readDirect(bus, EVENTS_STREAM, 1, { what: "event" });
      expect(JSON.parse(Buffer.from(direct!).toString())).toMatchObject({ subject: id });
      expect(
        (await api(bus, { what: "queue" }, ({ consumers }) => consumers.list(WORK_STREAM).next()))[0],
      ).toMatchObject({ stream_name: WORK_STREAM, config: { filter_subject: "lathe.work.train.*" } });
    }
    await purgeSearch(a, id);
    expect(await historyOnce(a, id)).toEqual([]);
    expect(await new Objects(a, ARTIFACTS_BUCKET).list()).toEqual([]);
    for (const bus of [plain, b]) {
      expect(await historyOnce(bus, id)).toHaveLength(2);
      expect(await new Objects(bus, ARTIFACTS_BUCKET).list()).toHaveLength(1);
    }
    for (const consumption of open) await consumption.stop();
  });

  it("have streams and subjects with their prefix on the server", async () => {
    const listed = await (await buses[0]!.connection.jetstreamManager()).streams.list().next();
    const names = streamSettings().map(({ name }) => name);
    const wanted = ["", "a", "b"].flatMap((prefix) => names.map((name) => new Names(prefix).stream(name)));
    expect(listed.map(({ config }) => config.name).sort()).toEqual(wanted.sort());
    const ofA = listed.find(({ config }) => config.name === "a_EVENTS");
    expect(ofA?.config.subjects).toEqual(["a.lathe.events.>"]);
    // The same stream, as the installation sees it.
    const info = await api(buses[1]!, { what: "stream" }, ({ streams }) => streams.info(EVENTS_STREAM));
    expect(info.config).toMatchObject({ name: EVENTS_STREAM, subjects: [ALL_EVENTS] });
    await expect(listSubjects(buses[1]!, EVENTS_STREAM, ALL_EVENTS)).resolves.toBeInstanceOf(Map);
  });

  it("are inspected each for itself, by the names on the server", async () => {
    const durable = "work-profile-cuda";
    const filter = "lathe.work.profile.cuda";
    await ensureDurable(buses[2]!, { stream: WORK_STREAM, durable, filter, ackWaitMs: 10_000, maxAckPending: 1 });
    const { streams, consumers, refused, faults } = await inspect(buses[2]!);
    expect(streams.map(({ name, faults }) => [name, faults])).toEqual(
      streamSettings().map(({ name }) => [new Names("b").stream(name), []]),
    );
    expect(consumers.filter(({ name }) => name === durable)).toHaveLength(1);
    expect((await inspect(buses[1]!)).consumers.filter(({ name }) => name === durable)).toEqual([]);
    expect([refused, faults]).toEqual([[], []]);
  });
});
