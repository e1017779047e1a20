import { RetentionPolicy, type JetStreamManager } from "nats";
import { quiet } from "../testing/bus";
import { startNats, type TestNats } from "../testing/nats";
import { connect, type Bus } from "./bus";
import { api } from "./jetstream";
import { provision, settingFaults, streamInfo, streamSettings, withCopies } from "./streams";
import { EVENTS_STREAM, SEARCHES_BUCKET, recordStream } from "./subjects";

let nats: TestNats;
let bus: Bus;
let manager: JetStreamManager;
beforeEach(async () => {
  nats = await startNats();
  bus = await connect({ url: nats.url, name: "test", logger: quiet });
  manager = await bus.connection.jetstreamManager();
});
afterEach(async () => {
  await bus.drain();
  await nats.stop();
});

const namesOf = async () => (await manager.streams.list().next()).map(({ config }) => config.name).sort();
const advice = "set LATHE_NATS_PREFIX, so that this installation has names of its own, or use another account of NATS";

describe("a stream of another application", () => {
  it("with one of our names is refused by its name and subjects and left as it is, and nothing is made", async () => {
    await manager.streams.add({ name: "WORK", subjects: ["orders.>", "bills.>"], max_age: 3600e9, max_msgs: 1000 });
    const before = await manager.streams.info("WORK");
    await expect(provision(bus)).rejects.toMatchObject({
      code: "FAILED_PRECONDITION",
      reason: "STREAM_FOREIGN",
      message: `stream WORK (subjects orders.> bills.>) belongs to another application and is left as it is: ${advice}`,
    });
    expect((await manager.streams.info("WORK")).config).toEqual(before.config);
    expect(await namesOf()).toEqual(["WORK"]);
  });

  it("may be a bucket of the same name, which has the same subjects", async () => {
    await bus.connection.jetstream().views.kv(SEARCHES_BUCKET);
    await bus.connection.jetstream().views.os("ARTIFACTS", { description: "pictures" });
    await expect(provision(bus)).rejects.toThrow(
      'stream KV_SEARCHES (subjects $KV.SEARCHES.>), OBJ_ARTIFACTS (subjects $O.ARTIFACTS.C.> $O.ARTIFACTS.M.>, description "pictures")',
    );
  });

  it("with a subject among ours is refused by its name", async () => {
    await manager.streams.add({ name: "ALL", subjects: ["lathe.>"] });
    await expect(provision(bus)).rejects.toMatchObject({
      reason: "STREAM_FOREIGN",
      message: `stream ALL of another application holds subjects among lathe.events.>, which stream EVENTS needs: ${advice}`,
    });
    expect(await namesOf()).toEqual(["ALL"]);
  });

  it("is in nobody's way where this installation has a prefix", async () => {
    await manager.streams.add({ name: EVENTS_STREAM, subjects: ["orders.>"] });
    const own = await connect({ url: nats.url, name: "test", logger: quiet, prefix: "team-a" });
    await provision(own);
    expect((await manager.streams.info(EVENTS_STREAM)).config.subjects).toEqual(["orders.>"]);
    expect((await manager.streams.info("team-a_EVENTS")).config.subjects).toEqual(["team-a.lathe.events.>"]);
    await own.drain();
  });
});

describe("a stream of an earlier version, which has no mark", () => {
  const unmarked = () => streamSettings().map(({ description: _none, ...settings }) => settings);

  it("has no description either: one that another has described is refused", async () => {
    const [events, work] = unmarked();
    await manager.streams.add(events!);
    await manager.streams.add({ ...work!, description: "our orders" });
    await expect(provision(bus)).rejects.toThrow(
      'stream WORK (subjects lathe.work.>, description "our orders") belongs to another application',
    );
  });

  it("is taken on, with what it holds", async () => {
    for (const settings of unmarked()) await manager.streams.add(settings);
    await bus.connection.jetstream().publish("lathe.events.s-1.space.kept", "kept");
    await provision(bus);
    for (const settings of streamSettings())
      expect(settingFaults(settings, await streamInfo(bus, settings.name))).toEqual([]);
    expect((await streamInfo(bus, EVENTS_STREAM))?.state.messages).toBe(1);
  });

  it("is taken on where an operator has changed its limits, and refused where it works in another way", async () => {
    const [events, work] = unmarked();
    await manager.streams.add({ ...events!, max_msgs: 10 });
    await manager.streams.add({ ...work!, retention: RetentionPolicy.Limits });
    await expect(provision(bus)).rejects.toThrow(/^stream WORK \(subjects lathe\.work\.>\) belongs/);
    await manager.streams.delete("WORK");
    await provision(bus);
    expect((await manager.streams.info(EVENTS_STREAM)).config.max_msgs).toBe(-1);
  });
});

it("more copies than the server can hold are refused by the setting", async () => {
  await expect(provision(bus, { replicas: 3 })).rejects.toMatchObject({
    code: "FAILED_PRECONDITION",
    reason: "STREAM_MISMATCH",
    message: expect.stringMatching(/^stream EVENTS cannot be made \(3 copies by LATHE_NATS_REPLICAS\): /) as string,
  });
});

it("copies are added where there are fewer than wanted, and never removed", () => {
  const [wanted] = streamSettings({ replicas: 3 });
  const config = (num_replicas: number) => ({ config: { ...wanted, num_replicas } });
  expect(settingFaults(wanted!, config(1))).toEqual(["has 1 copies, must have 3"]);
  expect(settingFaults(wanted!, config(5))).toEqual([]);
  expect(withCopies(wanted!, config(5)).num_replicas).toBe(5);
});

it("two services may provision at once, with different settings", async () => {
  const other = await connect({ url: nats.url, name: "other", logger: quiet });
  await Promise.all([provision(bus), provision(other, { objectBytes: 1e9 })]);
  expect(
    await api(bus, { what: "bucket" }, ({ streams }) => streams.info(recordStream(SEARCHES_BUCKET))),
  ).toBeDefined();
  await other.drain();
});

it("subjects that are taken for a moment, as while another service makes the same stream, are asked for again", async () => {
  let taken = 0;
  const request: Bus["request"] = async (subject, ...rest) => {
    const isFirst = subject.endsWith(`STREAM.CREATE.${EVENTS_STREAM}`) && taken++ === 0;
    if (isFirst) await manager.streams.add({ name: "MOMENT", subjects: ["lathe.>"] });
    const reply = await bus.request(subject, ...rest);
    if (isFirst) await manager.streams.delete("MOMENT");
    return reply;
  };
  await provision(Object.create(bus, { request: { value: request } }) as Bus);
  expect(taken).toBe(2);
  expect(await namesOf()).toEqual(
    streamSettings()
      .map(({ name }) => name)
      .sort(),
  );
});
