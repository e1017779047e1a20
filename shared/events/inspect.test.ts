import { AckPolicy } from "nats";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { quiet } from "../testing/bus";
import { startNats, type TestNats } from "../testing/nats";
import { connect, type Bus } from "./bus";
import { consumeEvents } from "./consumer";
import { inspect } from "./inspect";
import { api } from "./jetstream";
import { publishWork } from "./publisher";
import { provision, withCopies } from "./streams";
import { ALL_EVENTS, DURABLES, EVENTS_STREAM, WORK_STREAM } from "./subjects";

const open: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

async function server(...extra: string[]): Promise<TestNats> {
  const nats = await startNats(extra);
  open.push(() => nats.stop());
  return nats;
}

async function bus(url: string): Promise<Bus> {
  const opened = await connect({ url, name: "test", logger: quiet });
  open.push(() => opened.drain());
  return opened;
}

const messages = async (on: Bus, stream: string) =>
  (await api(on, { what: stream }, ({ streams }) => streams.info(stream))).state.messages;

describe("an inspection of NATS", () => {
  it("names each stream that is missing", async () => {
    const { streams, consumers, refused } = await inspect(await bus((await server()).url));
    expect(streams.map(({ faults }) => faults)).toEqual(Array.from({ length: 11 }, () => ["does not exist"]));
    expect([consumers, refused]).toEqual([[], []]);
  });

  it("finds no fault in the streams that this version creates, and stores nothing", async () => {
    const on = await bus((await server()).url);
    await provision(on);
    const consumption = await consumeEvents(on, {
      durable: DURABLES.search,
      filter: ALL_EVENTS,
      handler: () => Promise.resolve(),
      onGivenUp: () => {},
    });
    open.push(() => consumption.stop());
    const found = await inspect(on);
    expect(found.version).toMatch(/^\d+\.\d+\.\d+/);
    expect(found.jetstream).toMatchObject({ bytes: expect.any(Number) as number });
    expect(found.streams.filter(({ faults, replicas }) => faults.length > 0 || replicas !== 1)).toEqual([]);
    expect(found.refused).toEqual([]);
    expect(found.consumers.filter(({ exists }) => exists).map(({ name }) => name)).toEqual([DURABLES.search]);
    for (const stream of [EVENTS_STREAM, WORK_STREAM, "KV_SEARCHES", "OBJ_CHECKPOINTS"])
      expect(await messages(on, stream)).toBe(0);
  });

  it("reports a wrong setting, and a queue with work but no worker", async () => {
    const on = await bus((await server()).url);
    await provision(on);
    const changed = { max_msgs: 10, duplicate_window: 120e9 };
    await api(on, { what: "" }, ({ streams }) => streams.update(EVENTS_STREAM, changed));
    const filter_subject = "lathe.work.profile.cuda.*";
    const config = { durable_name: "work-profile-cuda", ack_policy: AckPolicy.Explicit, filter_subject };
    await api(on, { what: "" }, ({ consumers }) => consumers.add(WORK_STREAM, config));
    await publishWork(on, {
      searchId: "s-a",
      kind: "profile",
      data: {} as never,
      ordinal: "network",
      deviceClass: "cuda",
    });
    const { streams, consumers } = await inspect(on);
    expect(streams.find(({ name }) => name === EVENTS_STREAM)?.faults).toEqual([
      "max_msgs is 10, must be -1",
      "duplicate_window is 120000000000, must be 600000000000",
    ]);
    expect(consumers).toContainEqual({ name: config.durable_name, exists: true, pending: 1, inHand: 0, waiting: 0 });
  });

  it("reports each subject that the credentials may not write to", async () => {
    const folder = mkdtempSync(join(tmpdir(), "lathe-inspect-"));
    open.push(() => Promise.resolve(rmSync(folder, { recursive: true })));
    const file = join(folder, "nats.conf");
    writeFileSync(
      file,
      `authorization { users = [
        { user: all, password: "correct-horse-battery" }
        { user: some, password: "correct-horse-battery", permissions: { publish: { deny: ["lathe.work.>", "$O.>"] } } }
      ] }`,
    );
    const { url } = await server("-c", file);
    const as = (user: string) => bus(url.replace("//", `//${user}:correct-horse-battery@`));
    await provision(await as("all"));
    const { refused } = await inspect(await as("some"));
    expect(refused.map(({ subject }) => subject)).toEqual([
      "lathe.work.train.doctor",
      "$O.CHECKPOINTS.C.doctor",
      "$O.ARTIFACTS.C.doctor",
    ]);
    for (const { why } of refused) expect(why).toMatch(/permission/i);
    // No error contains the password.
    const refusal: Error = (await bus(url.replace("//", "//all:incorrect-horse@")).catch(
      (error: Error) => error,
    )) as Error;
    expect(refusal).toMatchObject({ reason: "NATS_FORBIDDEN", message: expect.stringContaining(url) as string });
  });
});

it("an update of a stream keeps the copies that an operator has given it", () => {
  const settings = { name: "EVENTS", num_replicas: 1, max_msgs: -1 };
  const there = (copies: { num_replicas?: number }) => ({ config: { ...copies, max_msgs: 10 } });
  expect(withCopies(settings, there({ num_replicas: 3 }))).toEqual({ ...settings, num_replicas: 3 });
  for (const few of [there({ num_replicas: 1 }), there({}), undefined])
    expect(withCopies(settings, few)).toEqual(settings);
});
