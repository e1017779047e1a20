import { once } from "node:events";
import { LatheError } from "../process/errors";
import { SpaceKept } from "../proto/lathe/v1/events";
import { quiet, startTestBus } from "../testing/bus";
import { startNats, uniqueSearchId, type TestNats } from "../testing/nats";
import { until } from "../testing/until";
import { connect, type Bus } from "./bus";
import { eventOrdinal, type LatheEvent, type StoredEvent } from "./catalog";
import { consumeEvents } from "./consumer";
import { api } from "./jetstream";
import { ensureDurable, pullOne } from "./pull";
import { publishEvent } from "./publisher";
import type { Consumption } from "./pulls";
import { provision } from "./streams";
import { ALL_EVENTS, EVENTS_STREAM, eventSubject, searchFilter } from "./subjects";

const kept = (epoch: number): LatheEvent => ({ type: "space.kept", data: SpaceKept.fromPartial({ epoch }) });
const full = new LatheError("RESOURCE_EXHAUSTED", "no room", { reason: "STORAGE_FULL" });

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

/** A consumer of one search, under a durable of its own. */
async function consume(
  id: string,
  options: Partial<Parameters<typeof consumeEvents>[1]>,
  on = bus,
): Promise<Consumption> {
  const consumption = await consumeEvents(on, {
    durable: `test-${id}`,
    filter: searchFilter(id),
    handler: () => Promise.resolve(),
    onGivenUp: ({ error }) => {
      throw error;
    },
    backoffMs: 20,
    ...options,
  });
  open.push(consumption);
  return consumption;
}

async function unacknowledged(id: string, on = bus): Promise<number> {
  const info = await api(on, { what: "info" }, ({ consumers }) => consumers.info(EVENTS_STREAM, `test-${id}`));
  return info.num_pending + info.num_ack_pending;
}

async function inHand(id: string): Promise<number> {
  const info = await api(bus, { what: "info" }, ({ consumers }) => consumers.info(EVENTS_STREAM, `test-${id}`));
  return info.num_ack_pending;
}

describe("consumeEvents", () => {
  it("handles stored and new events of a search one at a time, in the order of the stream", async () => {
    const id = uniqueSearchId();
    const seen: number[] = [];
    let running = 0;
    let most = 0;
    const handler = async ({ event }: StoredEvent) => {
      most = Math.max(most, ++running);
      await bus.flush();
      seen.push(eventOrdinal(event)!);
      running--;
    };
    for (let n = 1; n <= 5; n++) await publishEvent(bus, id, kept(n));
    await consume(id, { handler });
    for (let n = 6; n <= 20; n++) await publishEvent(bus, id, kept(n));
    await until(() => seen.length === 20);
    expect(seen).toEqual(Array.from({ length: 20 }, (_, n) => n + 1));
    expect(most).toBe(1);
    await until(async () => (await unacknowledged(id)) === 0);
  });

  it("gives each event to one of two processes", async () => {
    const id = uniqueSearchId();
    const seen: number[] = [];
    const handler = ({ event }: StoredEvent) => Promise.resolve(void seen.push(eventOrdinal(event)!));
    const second = await connect({ url: nats.url, name: "second", logger: quiet });
    await consume(id, { handler });
    const other = await consume(id, { handler }, second);
    for (let n = 1; n <= 20; n++) await publishEvent(bus, id, kept(n));
    await until(async () => seen.length === 20 && (await unacknowledged(id)) === 0);
    await other.stop();
    await second.drain();
    expect(seen.sort((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, n) => n + 1));
  });

  it("acknowledges after the effect: an event whose process dies in the handler is delivered again", async () => {
    const id = uniqueSearchId();
    await publishEvent(bus, id, kept(1));
    const dying = await connect({ url: nats.url, name: "dying", logger: quiet });
    const entered = new Promise<void>((resolve) => {
      void consumeEvents(dying, {
        durable: `test-${id}`,
        filter: searchFilter(id),
        ackWaitMs: 400,
        onGivenUp: () => {},
        handler: () => (resolve(), new Promise(() => {})),
      });
    });
    await entered;
    expect(await unacknowledged(id)).toBe(1);
    await dying.connection.close();
    let handled = 0;
    await consume(id, { ackWaitMs: 400, handler: () => Promise.resolve(void handled++) });
    await until(async () => handled === 1 && (await unacknowledged(id)) === 0);
  });

  it("repeats a failure that may heal, keeps later events of its search behind it, and lets other searches go on", async () => {
    const [ill, well] = [uniqueSearchId(), uniqueSearchId()];
    const seen: string[] = [];
    let heal = () => {};
    const healed = new Promise<void>((resolve) => (heal = resolve));
    const consumption = await consumeEvents(bus, {
      durable: `test-${ill}`,
      filter: ALL_EVENTS,
      backoffMs: 1,
      onGivenUp: ({ error }) => {
        throw error;
      },
      handler: async ({ event, searchId }, { attempts }) => {
        if (searchId !== ill && searchId !== well) return;
        seen.push(`${searchId === ill ? "ill" : "well"} ${eventOrdinal(event)}.${attempts}`);
        if (searchId === well || eventOrdinal(event) !== 1) return;
        if (attempts <= 2) throw new LatheError("UNAVAILABLE", "not yet");
        await healed;
      },
    });
    open.push(consumption);
    for (const n of [1, 2]) for (const id of [ill, well]) await publishEvent(bus, id, kept(n));
    await until(() => ["ill 1.3", "well 1.1", "well 2.1"].every((each) => seen.includes(each)));
    expect(seen).not.toContain("ill 2.1");
    heal();
    await until(() => seen.includes("ill 2.1"));
    expect(seen.filter((each) => each.startsWith("ill"))).toEqual(["ill 1.1", "ill 1.2", "ill 1.3", "ill 2.1"]);
  });

  it("gives up an event that always fails after a bounded number of attempts, reports it, and goes on with the next", async () => {
    const id = uniqueSearchId();
    await publishEvent(bus, id, kept(1));
    await publishEvent(bus, id, kept(2));
    const { dropped } = bus.counters;
    const seen: string[] = [];
    const givenUp: string[] = [];
    await consume(id, {
      maxAttempts: 3,
      backoffMs: 1,
      handler: ({ event }, { attempts }) => {
        seen.push(`${eventOrdinal(event)}.${attempts}`);
        if (eventOrdinal(event) === 1) return Promise.reject(new LatheError("UNAVAILABLE", "never"));
        return Promise.resolve();
      },
      onGivenUp: ({ stored, error, attempts }) => void givenUp.push(`${stored?.searchId} ${error.message} ${attempts}`),
    });
    await until(async () => seen.includes("2.1") && (await unacknowledged(id)) === 0);
    expect(seen).toEqual(["1.1", "1.2", "1.3", "2.1"]);
    expect(givenUp).toEqual([`${id} never 3`]);
    expect(bus.counters.dropped - dropped).toBe(1);
  });

  it("keeps an event whose failure cannot be stored, until it can be handled", async () => {
    const id = uniqueSearchId();
    await publishEvent(bus, id, kept(1));
    let attempted = 0;
    await consume(id, {
      maxAttempts: 2,
      backoffMs: 1,
      handler: (_stored, { attempts }) => {
        attempted = attempts;
        return attempts < 9 ? Promise.reject(full) : Promise.resolve();
      },
      onGivenUp: () => Promise.reject(full),
    });
    await until(async () => attempted === 9 && (await unacknowledged(id)) === 0);
  });

  it("drops a bad event at once, an event that meets a bug after its attempts, and a malformed envelope", async () => {
    const id = uniqueSearchId();
    await publishEvent(bus, id, kept(1));
    await publishEvent(bus, id, kept(2));
    await bus.connection.request(eventSubject(id, "space.kept"), "no envelope");
    await publishEvent(bus, id, { type: "search.paused", data: {} });
    const givenUp: string[] = [];
    const seen: string[] = [];
    await consume(id, {
      maxAttempts: 3,
      backoffMs: 1,
      handler: async ({ event }) => {
        seen.push(event.type);
        if (eventOrdinal(event) === 1) throw new LatheError("INVALID_ARGUMENT", "bad");
        if (eventOrdinal(event) === 2) throw new TypeError("bug");
        await Promise.resolve();
      },
      onGivenUp: ({ stored, error, attempts }) => {
        givenUp.push(`${stored?.event.type} ${error.code} ${error.reason} ${attempts}`);
        if (givenUp.length === 1) throw new Error("report failed");
      },
    });
    await until(async () => seen.includes("search.paused") && (await unacknowledged(id)) === 0);
    expect(givenUp).toEqual([
      "space.kept INVALID_ARGUMENT INVALID_ARGUMENT 1",
      "space.kept INVALID_ARGUMENT INVALID_ARGUMENT 2",
      "space.kept INTERNAL INTERNAL 3",
      "undefined INVALID_ARGUMENT ENVELOPE_MALFORMED 1",
    ]);
    // No event is unacknowledged, so the server has accepted each term: none was handled again.
    expect(seen).toHaveLength(6);
  });

  /** Delivers the events of a durable `times` times without an acknowledgement, as to processes that die with them in hand. */
  async function die(id: string, filter: string, events: number, times: number, on = bus): Promise<void> {
    const settings = { stream: EVENTS_STREAM, durable: `test-${id}`, filter, ackWaitMs: 10_000, maxAckPending: 256 };
    await ensureDurable(on, settings);
    for (let death = 1; death <= times; death++) {
      const inHand = [];
      for (let n = 0; n < events; n++) inHand.push((await pullOne(on, settings, new AbortController().signal))!);
      for (const delivery of inHand) delivery.nak(0);
    }
  }

  it("gives up an event whose process dies with it each time", async () => {
    const id = uniqueSearchId();
    await publishEvent(bus, id, kept(1));
    await die(id, searchFilter(id), 1, 15);
    const givenUp: string[] = [];
    let handled = 0;
    await consume(id, {
      handler: () => Promise.resolve(void handled++),
      onGivenUp: ({ error }) => void givenUp.push(error.reason),
    });
    await until(async () => (await unacknowledged(id)) === 0);
    expect({ givenUp, handled }).toEqual({ givenUp: ["DELIVERIES_EXHAUSTED"], handled: 0 });
  });

  it("handles events that were in hand when their process died, each with no other in hand", async () => {
    const own = await startNats();
    const lone = await connect({ url: own.url, name: "test", logger: quiet });
    await provision(lone);
    const ids = [uniqueSearchId(), uniqueSearchId(), uniqueSearchId()];
    for (const id of ids) await publishEvent(lone, id, kept(1));
    await die("died", ALL_EVENTS, ids.length, 10, lone);
    const seen: string[] = [];
    let running = 0;
    let most = 0;
    const handler = async ({ searchId }: StoredEvent) => {
      most = Math.max(most, ++running);
      await lone.flush();
      running--;
      seen.push(searchId);
    };
    await consume("died", { filter: ALL_EVENTS, handler }, lone);
    await until(async () => (await unacknowledged("died", lone)) === 0);
    expect(seen.sort()).toEqual([...ids].sort());
    expect(most).toBe(1);
    await open.pop()!.stop();
    await lone.drain();
    await own.stop();
  });

  it.each([
    ["fails and is repeated while NATS is full", 3_600_000, () => Promise.reject(full)],
    ["is handled for longer than the ack wait", 1000, ({ signal }: { signal: AbortSignal }) => once(signal, "abort")],
  ])("lets others go on when an event that was in hand at deaths %s", async (_, ackWaitMs, ill) => {
    const own = await startNats();
    const lone = await connect({ url: own.url, name: "test", logger: quiet });
    await provision(lone);
    const [first, second, third] = [uniqueSearchId(), uniqueSearchId(), uniqueSearchId()];
    // The second event of the first search waits behind the one that is handled or repeated.
    await publishEvent(lone, first, kept(1));
    await publishEvent(lone, first, kept(2));
    await publishEvent(lone, second, kept(1));
    await die("died", ALL_EVENTS, 3, 6, lone);
    await publishEvent(lone, third, kept(1));
    const seen: string[] = [];
    const consumption = {
      filter: ALL_EVENTS,
      ackWaitMs,
      onGivenUp: () => Promise.reject(full),
      handler: async ({ searchId }: StoredEvent, { signal }: { signal: AbortSignal }) => {
        if (searchId === first) await ill({ signal });
        else seen.push(searchId);
      },
    };
    await consume("died", consumption, lone);
    await until(() => [second, third].every((id) => seen.includes(id)));
    await open.pop()!.stop();
    await lone.drain();
    await own.stop();
  });

  it("lets other searches go on while one has more events than may be in hand and its first one fails", async () => {
    const [ill, well] = [uniqueSearchId(), uniqueSearchId()];
    for (let n = 1; n <= 300; n++) await publishEvent(bus, ill, kept(n));
    await publishEvent(bus, well, kept(1));
    let heal = () => {};
    const healed = new Promise<void>((resolve) => (heal = resolve));
    const givenUp = new Set<string>();
    const seen: string[] = [];
    const consumption = await consumeEvents(bus, {
      durable: `test-${ill}`,
      filter: ALL_EVENTS,
      backoffMs: 1,
      onGivenUp: ({ searchId, error }) => {
        if (searchId === ill) givenUp.add(error.reason);
      },
      handler: async ({ searchId, event }, { attempts }) => {
        if (searchId === ill && eventOrdinal(event) === 1) {
          if (attempts <= 3) throw new LatheError("UNAVAILABLE", "not yet");
          await healed;
        }
        if (searchId === ill || searchId === well) seen.push(`${searchId} ${eventOrdinal(event)}`);
      },
    });
    open.push(consumption);
    await until(() => seen.length > 0);
    expect(seen).toEqual([`${well} 1`]);
    heal();
    await until(() => seen.includes(`${ill} 33`));
    await until(async () => (await unacknowledged(ill)) === 0);
    expect(seen.slice(0, 34)).toEqual([`${well} 1`, ...Array.from({ length: 33 }, (_, n) => `${ill} ${n + 1}`)]);
    expect([...givenUp]).toEqual(["TOO_MANY_BEHIND_FAILING"]);
  });

  it("drops no event of a search whose first event fails once", async () => {
    const id = uniqueSearchId();
    for (let n = 1; n <= 100; n++) await publishEvent(bus, id, kept(n));
    const seen: number[] = [];
    await consume(id, {
      backoffMs: 1,
      handler: async ({ event }, { attempts }) => {
        // All events are in hand before the first one fails.
        if (eventOrdinal(event) === 1 && attempts === 1) {
          await until(async () => (await inHand(id)) === 100);
          throw new LatheError("UNAVAILABLE", "not yet");
        }
        seen.push(eventOrdinal(event)!);
      },
    });
    await until(async () => (await unacknowledged(id)) === 0);
    expect(seen).toEqual(Array.from({ length: 100 }, (_, n) => n + 1));
  });

  it("hands an event back at once when it stops during the handling", async () => {
    const id = uniqueSearchId();
    await publishEvent(bus, id, kept(1));
    let entered = false;
    // Without a hand-back the event would come again after this hour.
    const ackWaitMs = 3_600_000;
    const stopped = await consume(id, {
      ackWaitMs,
      handler: (_stored, { signal }) =>
        new Promise((_resolve, reject) => {
          entered = true;
          signal.addEventListener("abort", () => reject(signal.reason as Error));
        }),
    });
    await until(() => entered);
    await stopped.stop();
    let handled = 0;
    await consume(id, { ackWaitMs, handler: () => Promise.resolve(void handled++) });
    await until(() => handled === 1);
  });

  it("goes on after a crash of the server, and after its durable was deleted", async () => {
    const own = await startNats();
    const lone = await connect({ url: own.url, name: "test", logger: quiet });
    await provision(lone);
    const id = uniqueSearchId();
    const seen: number[] = [];
    const handler = ({ event }: StoredEvent) => Promise.resolve(void seen.push(eventOrdinal(event)!));
    // A crashed server may lose a confirmed acknowledgement; then the next event waits this long.
    await consume(id, { handler, ackWaitMs: 500 }, lone);
    await publishEvent(lone, id, kept(1));
    await until(() => seen.length === 1);
    await own.restart();
    await publishEvent(lone, id, kept(2));
    // The number is not checked: after a lost acknowledgement the event is delivered again.
    await until(() => seen.at(-1) === 2);
    await until(async () => (await unacknowledged(id, lone)) === 0);
    await api(lone, { what: "delete" }, ({ consumers }) => consumers.delete(EVENTS_STREAM, `test-${id}`));
    await publishEvent(lone, id, kept(3));
    await until(() => seen.at(-1) === 3);
    await open.pop()!.stop();
    await lone.drain();
    await own.stop();
  });
});
