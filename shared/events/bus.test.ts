import { createServer, type Socket } from "node:net";
import { LatheError } from "../process/errors";
import { EpochCompleted, SamplingEpochCompleted, SearchCreated, SpaceKept, TrainWork } from "../proto/lathe/v1/events";
import { quiet, startTestBus } from "../testing/bus";
import { startNats, uniqueSearchId, type TestNats } from "../testing/nats";
import { until } from "../testing/until";
import { connect, type Bus } from "./bus";
import { eventOrdinal, toWatchResponse, type LatheEvent, type StoredEvent } from "./catalog";
import { historyOnce, replay, awaitEvent } from "./history";
import { encodeEvent } from "./envelope";
import { api, store } from "./jetstream";
import { publishEvent, publishProgress, publishWork, subscribeProgress } from "./publisher";
import { provision } from "./streams";
import { EVENTS_STREAM, eventSubject } from "./subjects";

const epoch = (n: number): LatheEvent => ({
  type: "epoch.completed",
  data: EpochCompleted.fromPartial({ metrics: { epoch: n, weightLoss: n / 4 } }),
});
const kept = (n: number): LatheEvent => ({ type: "space.kept", data: SpaceKept.fromPartial({ epoch: n }) });

let nats: TestNats;
let bus: Bus;
beforeAll(async () => {
  ({ nats, bus } = await startTestBus());
});
afterAll(async () => {
  await bus?.drain();
  await nats?.stop();
});

describe("connect", () => {
  it("fails with the reason, after its time limit, where nothing listens", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    const { port } = server.address() as { port: number };
    await new Promise((resolve) => server.close(resolve));
    const url = `nats://127.0.0.1:${port}`;
    await expect(connect({ url, name: "test", logger: quiet, firstConnectMs: 600 })).rejects.toMatchObject({
      code: "UNAVAILABLE",
      message: `NATS at ${url} is not reachable (ECONNREFUSED)`,
    });
  });

  it("fails with the reason, after its time limit, where the listener is not NATS", async () => {
    const sockets: Socket[] = [];
    const server = createServer((socket) => void sockets.push(socket)).listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    const { port } = server.address() as { port: number };
    const url = `nats://127.0.0.1:${port}`;
    await expect(connect({ url, name: "test", logger: quiet, firstConnectMs: 500 })).rejects.toMatchObject({
      code: "UNAVAILABLE",
      message: `NATS at ${url} is not reachable (no answer)`,
    });
    server.close();
    for (const socket of sockets) socket.destroy();
  });

  it("names a credentials file that cannot be read", async () => {
    const attempt = connect({ url: nats.url, name: "test", logger: quiet, credsFile: "/nowhere/lathe.creds" });
    await expect(attempt).rejects.toThrow(/credentials file \/nowhere\/lathe.creds cannot be read/);
  });
});

describe("provision", () => {
  it("has no effect when it is repeated, or done by two services at once; a changed setting is an update", async () => {
    const fresh = await startNats();
    const [a, b] = await Promise.all([0, 1].map(() => connect({ url: fresh.url, name: "test", logger: quiet })));
    await Promise.all([provision(a!), provision(b!)]);
    await publishEvent(a!, "s-one", epoch(1));
    await Promise.all([provision(a!, { objectBytes: 1e9 }), provision(b!, { objectBytes: 1e9 })]);
    expect(await historyOnce(b!, "s-one")).toHaveLength(1);
    const info = await api(a!, { what: "info" }, ({ streams }) => streams.info("OBJ_ARTIFACTS"));
    expect(info.config).toMatchObject({ max_bytes: 1e9, discard: "new" });
    await Promise.all([a!.drain(), b!.drain()]);
    await fresh.stop();
  });

  it("undoes a setting that loses messages", async () => {
    const fresh = await startNats();
    const lone = await connect({ url: fresh.url, name: "test", logger: quiet });
    await provision(lone);
    const change = { max_msgs_per_subject: 1, max_msg_size: 100, no_ack: true };
    await api(lone, { what: "change" }, ({ streams }) => streams.update(EVENTS_STREAM, change));
    await provision(lone);
    for (const n of [1, 2]) await publishEvent(lone, "s-one", epoch(n));
    expect(await historyOnce(lone, "s-one")).toHaveLength(2);
    const { config } = await api(lone, { what: "info" }, ({ streams }) => streams.info(EVENTS_STREAM));
    expect(config).toMatchObject({ max_msgs_per_subject: -1, max_msg_size: -1 });
    await lone.drain();
    await fresh.stop();
  });
});

describe("publishEvent", () => {
  it("stores the events of several lanes once, whichever lane is ahead", async () => {
    const id = uniqueSearchId();
    const sampled = (candidate: number, n: number): LatheEvent => ({
      type: "sampling.epoch.completed",
      data: SamplingEpochCompleted.fromPartial({ candidate, epoch: n }),
    });
    const told = [sampled(2, 4), sampled(1, 1), sampled(2, 5), sampled(1, 2)];
    const sequences: number[] = [];
    for (const event of told) {
      const { sequence, duplicate } = await publishEvent(bus, id, event, { apart: true });
      expect(duplicate).toBe(false);
      sequences.push(sequence);
    }
    // A worker that takes a training up again publishes what it finds missing in its checkpoint: the newest of its lane, or a later one.
    const again = (event: LatheEvent) => publishEvent(bus, id, event, { apart: true });
    expect(await again(sampled(2, 5))).toEqual({ sequence: sequences[2], duplicate: true });
    expect(await again(sampled(2, 4))).toEqual({ sequence: sequences[0], duplicate: true });
    expect(await again(sampled(1, 1))).toEqual({ sequence: sequences[1], duplicate: true });
    // The number before is one of another lane.
    expect(await again(sampled(3, 3))).toMatchObject({ duplicate: false });
    expect(await again(sampled(2, 4))).toEqual({ sequence: sequences[0], duplicate: true });
    expect((await historyOnce(bus, id)).map(({ event }) => event)).toEqual([...told, sampled(3, 3)]);
  });

  it("stores an event once, however often and by whichever process it is published", async () => {
    const id = uniqueSearchId();
    const first = await publishEvent(bus, id, epoch(1));
    expect(first.duplicate).toBe(false);
    expect(await publishEvent(bus, id, epoch(1))).toEqual({ sequence: first.sequence, duplicate: true });
    expect(
      (await Promise.all([2, 2, 2, 2].map((n) => publishEvent(bus, id, epoch(n))))).filter((p) => !p.duplicate),
    ).toHaveLength(1);
    expect((await historyOnce(bus, id)).map(({ event }) => eventOrdinal(event))).toEqual([1, 2]);
  });

  it("recognises an event after the window of message ids has passed", async () => {
    const id = uniqueSearchId();
    await publishEvent(bus, id, epoch(1));
    const second = await publishEvent(bus, id, epoch(2));
    // The window is 10 minutes; a server that has forgotten the ids is one whose stream says a shorter one.
    await api(bus, { what: "window" }, ({ streams }) => streams.update(EVENTS_STREAM, { duplicate_window: 100e6 }));
    // A message id that is younger than those of the events: once it is forgotten, so are they.
    const probe = { what: "probe", msgId: `${id}-probe` };
    const subject = eventSubject(uniqueSearchId(), "space.kept");
    await until(async () => !(await store(bus, subject, Buffer.from("no envelope"), probe)).duplicate);
    expect(await publishEvent(bus, id, epoch(2))).toEqual({ sequence: second.sequence, duplicate: true });
    expect((await publishEvent(bus, id, epoch(1))).duplicate).toBe(true);
    await provision(bus);
    expect(await historyOnce(bus, id)).toHaveLength(2);
  });

  it("keeps times, numbers that JSON lacks, and the case of WatchSearch", async () => {
    const id = uniqueSearchId();
    const time = new Date("2026-01-02T03:04:05.678Z");
    const data = EpochCompleted.fromPartial({ metrics: { epoch: 1, weightLoss: NaN, alphaLoss: Infinity } });
    const { sequence } = await publishEvent(bus, id, { type: "epoch.completed", data }, { time });
    const [stored] = await historyOnce(bus, id);
    expect(stored).toEqual({ sequence, time, searchId: id, event: { type: "epoch.completed", data } });
    expect(toWatchResponse(stored!)).toEqual({ sequence, time, event: { $case: "epochCompleted", value: data } });
  });

  it("refuses a search id that is no token, and an event larger than a message", async () => {
    await expect(publishEvent(bus, "s.1", epoch(1))).rejects.toThrow(/search id is "s\.1"/);
    const data = { reason: "BIG", message: "x".repeat(2e6), phase: "", resumption: 0 };
    await expect(publishEvent(bus, uniqueSearchId(), { type: "search.failed", data })).rejects.toMatchObject({
      code: "RESOURCE_EXHAUSTED",
      reason: "PAYLOAD_TOO_LARGE",
    });
  });
});

describe("publishWork", () => {
  it("queues an item once", async () => {
    const work = {
      searchId: uniqueSearchId(),
      kind: "retrain",
      data: { spec: undefined, genotype: undefined, weights: undefined, resumption: 0 },
      ordinal: 0,
    } as const;
    expect((await publishWork(bus, work)).duplicate).toBe(false);
    expect((await publishWork(bus, work)).duplicate).toBe(true);
    expect((await publishWork(bus, { ...work, ordinal: 1 })).duplicate).toBe(false);
    await expect(
      publishWork(bus, { searchId: "s-1", kind: "profile", data: TrainWork.fromPartial({}) as never, ordinal: 0 }),
    ).rejects.toThrow(/device class/);
  });
});

describe("progress", () => {
  it("reaches the listeners of its search only", async () => {
    const id = uniqueSearchId();
    const seen: number[] = [];
    const end = subscribeProgress(bus, id, ({ step }) => seen.push(step));
    await bus.flush();
    const progress = (step: number) => ({ phase: "supernet", epoch: 1, epochs: 2, step, steps: 9, loss: 1 });
    publishProgress(bus, id, progress(1));
    publishProgress(bus, uniqueSearchId(), progress(2));
    bus.connection.publish(`lathe.progress.${id}`, "no json");
    publishProgress(bus, id, progress(3));
    await bus.flush();
    end();
    publishProgress(bus, id, progress(4));
    await bus.flush();
    expect(seen).toEqual([1, 3]);
  });
});

describe("history", () => {
  const collect = async (id: string, from: number, until: number, into: StoredEvent[], on: Bus = bus) => {
    const stop = new AbortController();
    for await (const stored of replay(on, id, from, stop.signal)) {
      into.push(stored);
      if (eventOrdinal(stored.event) === until) stop.abort();
    }
  };

  it("ends at once where a search has no event", async () => {
    expect(await historyOnce(bus, uniqueSearchId())).toEqual([]);
  });

  it("yields stored events of one search from a sequence on, then new ones", async () => {
    const [id, other] = [uniqueSearchId(), uniqueSearchId()];
    const sequences: number[] = [];
    for (let n = 1; n <= 5; n++) {
      sequences.push((await publishEvent(bus, id, epoch(n))).sequence);
      await publishEvent(bus, other, epoch(n));
    }
    const [all, late]: StoredEvent[][] = [[], []];
    const running = [collect(id, 0, 8, all!), collect(id, sequences[2]! + 1, 8, late!)];
    for (let n = 6; n <= 8; n++) {
      sequences.push((await publishEvent(bus, id, epoch(n))).sequence);
      await publishEvent(bus, other, epoch(n));
    }
    await Promise.all(running);
    expect(all!.map((stored) => stored.sequence)).toEqual(sequences);
    expect(late!.map((stored) => stored.sequence)).toEqual(sequences.slice(3));
    expect((await historyOnce(bus, id, sequences[6])).map((stored) => stored.sequence)).toEqual(sequences.slice(6));
  });

  it("makes the server search the stream only for events that exist", async () => {
    const id = uniqueSearchId();
    const others = (count: number) =>
      Promise.all(
        Array.from({ length: count }, () =>
          bus.connection.request(eventSubject(uniqueSearchId(), "space.kept"), "another's"),
        ),
      );
    const looked: string[] = [];
    const counting = Object.create(bus) as Bus;
    counting.request = (subject, payload, options) => {
      if (Buffer.from(payload).includes("next_by_subj")) looked.push(subject);
      return bus.request(subject, payload, options);
    };
    await others(200);
    const created = await publishEvent(bus, id, { type: "search.created", data: SearchCreated.fromPartial({}) });
    await others(200);
    const { sequence } = await publishEvent(bus, id, epoch(1));
    await others(200);
    expect((await historyOnce(counting, id)).map((stored) => stored.sequence)).toEqual([created.sequence, sequence]);
    expect(looked).toHaveLength(1);
    expect(await historyOnce(counting, id, sequence + 1)).toEqual([]);
    expect(looked).toHaveLength(1);
    const seen: StoredEvent[] = [];
    const reading = collect(id, 0, 2, seen, counting);
    while (seen.length < 2) await bus.flush();
    await others(200);
    const last = await publishEvent(bus, id, epoch(2));
    await reading;
    expect(seen.map((stored) => stored.sequence)).toEqual([created.sequence, sequence, last.sequence]);
  });

  it("leaves out messages that are no events, and counts them", async () => {
    const id = uniqueSearchId();
    const before = bus.counters.malformed;
    await publishEvent(bus, id, epoch(1));
    await bus.connection.request(eventSubject(id, "space.kept"), "no envelope");
    const attributes = { id: `${id}:text`, source: "test", searchId: id, time: new Date() };
    const numbered = Buffer.from(encodeEvent(kept(2), attributes)).toString();
    expect(numbered).toContain('"epoch":2');
    for (const number of ['"many"', "1.5", "4e9"])
      await bus.connection.request(eventSubject(id, "space.kept"), numbered.replace('"epoch":2', `"epoch":${number}`));
    await publishEvent(bus, id, epoch(2));
    const seen: StoredEvent[] = [];
    await collect(id, 0, 2, seen);
    expect(seen.map(({ event }) => eventOrdinal(event))).toEqual([1, 2]);
    expect(bus.counters.malformed).toBe(before + 4);
  });

  it("waits for one event, and stops waiting when its signal aborts", async () => {
    const id = uniqueSearchId();
    const { sequence } = await publishEvent(bus, id, epoch(3));
    const accept = ({ event }: StoredEvent) => event.type === "space.kept" && event.data.epoch === 3;
    const found = awaitEvent(bus, id, sequence, accept, new AbortController().signal);
    await publishEvent(bus, id, kept(3));
    expect((await found).event).toEqual(kept(3));
    const stop = new AbortController();
    const never = awaitEvent(bus, id, sequence, () => false, stop.signal);
    stop.abort();
    await expect(never).rejects.toMatchObject({ code: "CANCELLED" });
  });

  it("has no gap and no duplicate when the server crashes in between", async () => {
    const own = await startNats();
    const [writer, reader] = await Promise.all(
      [0, 1].map(() => connect({ url: own.url, name: "test", logger: quiet })),
    );
    await provision(writer!);
    const id = uniqueSearchId();
    const seen: StoredEvent[] = [];
    const total = 60;
    const reading = collect(id, 0, total, seen, reader);
    const sequences: number[] = [];
    for (let n = 1; n <= total; n++) {
      if (n === 20) await own.kill();
      if (n === 20) void new Promise((resolve) => setTimeout(resolve, 300)).then(() => own.restart());
      if (n === 40) await own.restart();
      sequences.push((await publishEvent(writer!, id, epoch(n))).sequence);
    }
    await reading;
    expect(seen.map((stored) => stored.sequence)).toEqual(sequences);
    expect(seen.map(({ event }) => eventOrdinal(event))).toEqual(Array.from({ length: total }, (_, n) => n + 1));
    expect(writer!.counters.reconnects).toBe(2);
    expect(writer!.status()).toEqual({ connected: true });
    await Promise.all([writer!.drain(), reader!.drain()]);
    await own.stop();
  });
});

describe("an outage", () => {
  it("shows in the status, and ends requests with UNAVAILABLE", async () => {
    const own = await startNats();
    const lone = await connect({ url: own.url, name: "test", logger: quiet });
    await provision(lone);
    await own.kill();
    const error = await publishEvent(lone, "s-1", epoch(1), { retryForMs: 100 }).catch(
      (thrown: unknown) => thrown as LatheError,
    );
    expect(error).toMatchObject({
      code: "UNAVAILABLE",
      message: expect.stringContaining("event s-1:epoch.completed:1") as string,
    });
    expect(lone.status()).toMatchObject({ connected: false });
    const closed: LatheError[] = [];
    lone.onClosed((cause) => closed.push(cause));
    await lone.drain();
    expect(closed).toEqual([]);
    await own.stop();
  });
});
