import { LatheError } from "../process/errors";
import { SpaceKept } from "../proto/lathe/v1/events";
import { quiet, startTestBus } from "../testing/bus";
import { startNats, uniqueSearchId, type TestNats } from "../testing/nats";
import { until } from "../testing/until";
import { connect, type Bus } from "./bus";
import { eventOrdinal, type LatheEvent, type StoredEvent } from "./catalog";
import { consumeEvents, type Consumption, type EventConsumerOptions } from "./consumer";
import { api } from "./jetstream";
import { publishEvent } from "./publisher";
import { provision } from "./streams";
import { EVENTS_STREAM, eventSubject, searchFilter } from "./subjects";

const kept = (epoch: number): LatheEvent => ({ type: "space.kept", data: SpaceKept.fromPartial({ epoch }) });

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
async function consume(id: string, options: Partial<EventConsumerOptions>, on = bus): Promise<Consumption> {
  const consumption = await consumeEvents(on, {
    durable: `test-${id}`,
    filter: searchFilter(id),
    handler: () => Promise.resolve(),
    onPoison: ({ error }) => {
      throw error;
    },
    backoffMs: 20,
    ...options,
  });
  open.push(consumption);
  return consumption;
}

async function unacknowledged(id: string, on = bus): Promise<number> {
  const what = { what: "info" };
  const info = await api<{ num_pending: number; num_ack_pending: number }>(
    on,
    `CONSUMER.INFO.${EVENTS_STREAM}.test-${id}`,
    undefined,
    what,
  );
  return info.num_pending + info.num_ack_pending;
}

describe("consumeEvents", () => {
  it("hands on what was stored before and what comes after, in order, one at a time, over two processes", async () => {
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
    const second = await connect({ url: nats.url, name: "second", logger: quiet });
    await consume(id, { handler });
    const other = await consume(id, { handler }, second);
    for (let n = 6; n <= 20; n++) await publishEvent(bus, id, kept(n));
    await until(() => seen.length === 20);
    await other.stop();
    await second.drain();
    expect(seen).toEqual(Array.from({ length: 20 }, (_, n) => n + 1));
    expect(most).toBe(1);
    await until(async () => (await unacknowledged(id)) === 0);
  });

  it("acknowledges after the effect: an event whose process dies in the handler comes again", async () => {
    const id = uniqueSearchId();
    await publishEvent(bus, id, kept(1));
    const dying = await connect({ url: nats.url, name: "dying", logger: quiet });
    const entered = new Promise<void>((resolve) => {
      void consumeEvents(dying, {
        durable: `test-${id}`,
        filter: searchFilter(id),
        ackWaitMs: 400,
        onPoison: () => {},
        handler: () => (resolve(), new Promise(() => {})),
      });
    });
    await entered;
    expect(await unacknowledged(id)).toBe(1);
    await dying.connection.close();
    const deliveries: number[] = [];
    await consume(id, {
      ackWaitMs: 400,
      handler: (_stored, context) => Promise.resolve(void deliveries.push(context.deliveries)),
    });
    await until(() => deliveries.length === 1);
    expect(deliveries).toEqual([2]);
  });

  it("repeats a transient failure without an end, and keeps later events behind it", async () => {
    const id = uniqueSearchId();
    await publishEvent(bus, id, kept(1));
    await publishEvent(bus, id, kept(2));
    const seen: string[] = [];
    const handler = ({ event }: StoredEvent, { deliveries }: { deliveries: number }) => {
      seen.push(`${eventOrdinal(event)}.${deliveries}`);
      if (eventOrdinal(event) === 1 && deliveries <= 3) throw new LatheError("UNAVAILABLE", "not yet");
      return Promise.resolve();
    };
    await consume(id, { handler: async (stored, context) => handler(stored, context), maxDeliveries: 2 });
    await until(() => seen.length === 5);
    expect(seen).toEqual(["1.1", "1.2", "1.3", "1.4", "2.1"]);
  });

  it("tells of poison, drops it for good and goes on: bad input at once, a bug after its deliveries, a malformed envelope", async () => {
    const id = uniqueSearchId();
    await publishEvent(bus, id, kept(1));
    await publishEvent(bus, id, kept(2));
    await bus.connection.request(eventSubject(id, "space.kept"), "no envelope");
    await publishEvent(bus, id, { type: "search.paused", data: {} });
    const poison: string[] = [];
    const seen: string[] = [];
    await consume(id, {
      maxDeliveries: 3,
      handler: async ({ event }) => {
        seen.push(event.type);
        if (eventOrdinal(event) === 1) throw new LatheError("INVALID_ARGUMENT", "bad");
        if (eventOrdinal(event) === 2) throw new TypeError("bug");
        await Promise.resolve();
      },
      onPoison: ({ stored, error, deliveries }) => {
        poison.push(`${stored?.event.type} ${error.code} ${error.reason} ${deliveries}`);
        if (poison.length === 1) throw new Error("telling failed");
      },
    });
    await until(() => seen.includes("search.paused"));
    await until(async () => (await unacknowledged(id)) === 0);
    expect(poison).toEqual([
      "space.kept INVALID_ARGUMENT INVALID_ARGUMENT 1",
      "space.kept INVALID_ARGUMENT INVALID_ARGUMENT 2",
      "space.kept INTERNAL INTERNAL 3",
      "undefined INVALID_ARGUMENT ENVELOPE_MALFORMED 1",
    ]);
    // The server counts an event as unacknowledged until it has understood the term.
    expect(seen).toHaveLength(6);
  });

  it("hands an event back at once when it stops in the middle", async () => {
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
    const deliveries: number[] = [];
    await consume(id, {
      ackWaitMs,
      handler: (_stored, context) => Promise.resolve(void deliveries.push(context.deliveries)),
    });
    await until(() => deliveries.length === 1);
    expect(deliveries).toEqual([2]);
  });

  it("goes on after a crash of the server, and after its durable was deleted", async () => {
    const own = await startNats();
    const lone = await connect({ url: own.url, name: "test", logger: quiet });
    await provision(lone);
    const id = uniqueSearchId();
    const seen: number[] = [];
    const handler = ({ event }: StoredEvent) => Promise.resolve(void seen.push(eventOrdinal(event)!));
    // A crash may forget an acknowledgement that it had given; then the next event waits this long.
    await consume(id, { handler, ackWaitMs: 500 }, lone);
    await publishEvent(lone, id, kept(1));
    await until(() => seen.length === 1);
    await own.restart();
    await publishEvent(lone, id, kept(2));
    // Not the count: a crash may forget an acknowledgement, and the event comes again.
    await until(() => seen.at(-1) === 2);
    await until(async () => (await unacknowledged(id, lone)) === 0);
    await api(lone, `CONSUMER.DELETE.${EVENTS_STREAM}.test-${id}`, undefined, { what: "delete" });
    await publishEvent(lone, id, kept(3));
    await until(() => seen.at(-1) === 3);
    await open.pop()!.stop();
    await lone.drain();
    await own.stop();
  });
});
