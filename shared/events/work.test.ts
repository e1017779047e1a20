import { once } from "node:events";
import { connect as connectTcp, createServer, type AddressInfo, type Socket } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { LatheError } from "../process/errors";
import { Turns } from "../process/turns";
import { DeriveWork, RetrainWork } from "../proto/lathe/v1/events";
import { queuedWork, quiet, startTestBus, workIsDone } from "../testing/bus";
import { startNats, uniqueSearchId, type TestNats } from "../testing/nats";
import { until } from "../testing/until";
import { connect, type Bus } from "./bus";
import { deadLetters } from "./deadLetters";
import { ensureDurable, pullOne } from "./pull";
import type { Consumption } from "./pulls";
import { api } from "./jetstream";
import { publishWork } from "./publisher";
import { provision } from "./streams";
import {
  HANDBACKS_BUCKET,
  queueFilter,
  recordStream,
  recordSubject,
  WORK_STREAM,
  workDurable,
  workSubject,
  type WorkKind,
} from "./subjects";
import { takeWork } from "./work";

let nats: TestNats;
let bus: Bus;
const open: Consumption[] = [];
beforeAll(async () => {
  ({ nats, bus } = await startTestBus());
});
afterEach(async () => {
  await Promise.all(open.splice(0).map((consumption) => consumption.stop()));
  await api(bus, { what: "purge" }, ({ streams }) => streams.purge(WORK_STREAM));
});
afterAll(async () => {
  await bus?.drain();
  await nats?.stop();
});

type Options = Partial<Parameters<typeof takeWork<"retrain">>[1]>;
async function work(options: Options, on = bus): Promise<Consumption> {
  const consumption = await takeWork(on, {
    queues: [{ kind: "retrain" }],
    handler: () => Promise.resolve(),
    onExhausted: ({ error }) => Promise.reject(error),
    backoffMs: 20,
    ...options,
  });
  open.push(consumption);
  return consumption;
}
const queue = (searchId: string, resumption = 0) =>
  publishWork(bus, { searchId, kind: "retrain", data: RetrainWork.fromPartial({ resumption }), ordinal: resumption });

describe("takeWork", () => {
  it("keeps an item while NATS has no room, and repeats it within the same delivery", async () => {
    const searchId = uniqueSearchId();
    const full = new LatheError("RESOURCE_EXHAUSTED", "no room", { reason: "STORAGE_FULL" });
    const deliveries: number[] = [];
    await work({
      handler: (_, context) => {
        deliveries.push(context.deliveries);
        return deliveries.length < 7 ? Promise.reject(full) : Promise.resolve();
      },
      maxDeliveries: 2,
      backoffMs: 1,
    });
    await queue(searchId);
    await until(async () => deliveries.length === 7 && (await queuedWork(bus)) === 0);
    expect(deliveries).toEqual([1, 1, 1, 1, 1, 1, 1]);
  });

  it("reports an item whose files have no room as soon as NATS can store the report", async () => {
    const full = new LatheError("RESOURCE_EXHAUSTED", "no room", { reason: "STORAGE_FULL" });
    let attempts = 0;
    const reported: unknown[] = [];
    await work({
      handler: () => {
        attempts++;
        return Promise.reject(full);
      },
      onExhausted: ({ error }) => {
        reported.push(error.reason);
        return reported.length < 3 ? Promise.reject(full) : Promise.resolve();
      },
      maxDeliveries: 2,
      backoffMs: 1,
    });
    await queue(uniqueSearchId());
    await until(async () => reported.length === 3 && (await queuedWork(bus)) === 0);
    expect({ attempts, reported }).toEqual({ attempts: 4, reported: Array(3).fill("STORAGE_FULL") });
  });

  it("gives each item to one worker, one at a time", async () => {
    const taken: string[] = [];
    const running = [0, 0];
    // The first item of each worker waits for that of the other, so that both take part.
    const busy = () => until(() => new Set(taken.map((entry) => entry[0])).size === 2);
    const handler =
      (worker: number) =>
      async ({ searchId }: { searchId: string }): Promise<void> => {
        expect(++running[worker]!).toBe(1);
        taken.push(`${worker} ${searchId}`);
        await busy();
        running[worker]!--;
      };
    const ids = Array.from({ length: 6 }, uniqueSearchId);
    for (const id of ids) await queue(id);
    const second = await connect({ url: nats.url, name: "second", logger: quiet });
    await work({ handler: handler(0) });
    await work({ handler: handler(1) }, second);
    await workIsDone(bus);
    expect(taken.map((entry) => entry.slice(2)).sort()).toEqual([...ids].sort());
    expect(new Set(taken.map((entry) => entry[0])).size).toBe(2);
    await open.pop()!.stop();
    await second.drain();
  });

  it("keeps an item that takes longer than the ack wait", async () => {
    // A sign of life goes out every 750 ms: only a machine that stops for two seconds would lose the lease.
    const ackWaitMs = 3000;
    const id = uniqueSearchId();
    await queue(id, 3);
    const taken: unknown[] = [];
    const handler: Options["handler"] = async ({ id, data }, { signal, deliveries }) => {
      taken.push([id, data.resumption, deliveries]);
      await pause(2 * ackWaitMs);
      expect(signal.aborted).toBe(false);
    };
    await work({ handler, ackWaitMs });
    await work({ handler, ackWaitMs });
    await workIsDone(bus);
    expect(taken).toEqual([[`${id}:retrain:3`, 3, 1]]);
  });

  it("passes the item of a dead worker to another, and gives it up when its deliveries are used up", async () => {
    const id = uniqueSearchId();
    await queue(id);
    for (let death = 1; death <= 2; death++) {
      const dying = await connect({ url: nats.url, name: "dying", logger: quiet });
      await new Promise<void>((resolve) => {
        void takeWork(dying, {
          queues: [{ kind: "retrain" }],
          ackWaitMs: 1000,
          onExhausted: () => Promise.resolve(),
          handler: () => (resolve(), new Promise(() => {})),
        });
      });
      await dying.connection.close();
    }
    const failures: unknown[] = [];
    let handled = 0;
    await work({
      ackWaitMs: 1000,
      maxDeliveries: 2,
      handler: () => Promise.resolve(void handled++),
      onExhausted: ({ work, deliveries, error }) =>
        Promise.resolve(void failures.push([work?.searchId, deliveries, error.reason])),
    });
    await workIsDone(bus);
    expect(failures).toEqual([[id, 2, "DELIVERIES_EXHAUSTED"]]);
    expect(handled).toBe(0);
  });

  it("repeats a failure that may heal, gives up on others at once, and reports why", async () => {
    const [crash, bad] = [uniqueSearchId(), uniqueSearchId()];
    await queue(crash);
    await queue(bad);
    const seen: string[] = [];
    const failures: string[] = [];
    await work({
      maxDeliveries: 3,
      handler: async ({ searchId }, { deliveries }) => {
        await Promise.resolve();
        seen.push(`${searchId === crash ? "crash" : "bad"} ${deliveries}`);
        if (searchId === bad) throw new LatheError("INVALID_ARGUMENT", "dataset", { reason: "DATASET_INVALID" });
        throw new Error(`crash ${deliveries}`);
      },
      onExhausted: ({ deliveries, error }) =>
        Promise.resolve(void failures.push(`${error.reason} ${error.message} ${deliveries}`)),
    });
    await workIsDone(bus);
    expect(seen.sort()).toEqual(["bad 1", "crash 1", "crash 2", "crash 3"]);
    expect(failures.sort()).toEqual(["DATASET_INVALID dataset 1", "INTERNAL crash 3 3"]);
  });

  it("gives the item to another worker at once when it stops, and charges no delivery, however often", async () => {
    await queue(uniqueSearchId());
    // Without a hand-back the item would come again after this hour.
    const ackWaitMs = 3_600_000;
    const seen: number[] = [];
    for (let stop = 1; stop <= 4; stop++) {
      const stopping = await work({
        ackWaitMs,
        maxDeliveries: 1,
        handler: (_work, { signal, deliveries }) =>
          new Promise((_resolve, reject) => {
            seen.push(deliveries);
            signal.addEventListener("abort", () => reject(signal.reason as LatheError));
          }),
      });
      await until(() => seen.length === stop);
      await stopping.stop();
    }
    await work({ ackWaitMs, handler: (_work, { deliveries }) => Promise.resolve(void seen.push(deliveries)) });
    await until(() => seen.length === 5);
    expect(seen).toEqual([1, 1, 1, 1, 1]);
  });

  it("pulls no item while its process is busy with something else", async () => {
    const turns = new Turns();
    const seen: string[] = [];
    const begin = () =>
      work({ free: (signal) => turns.free(signal), handler: () => Promise.resolve(void seen.push("busy")) });
    const never = new AbortController().signal;
    let release = () => {};
    const occupy = () => void turns.take(() => new Promise<void>((resolve) => (release = resolve)), never);
    const second = await connect({ url: nats.url, name: "second", logger: quiet });
    const other = async () => work({ handler: () => Promise.resolve(void seen.push("other")) }, second);
    // Busy before its first pull, and busy while a pull waits.
    for (const order of [
      [occupy, begin],
      [begin, () => until(() => bus.idle.get(workDurable("retrain")) === 1), occupy],
    ]) {
      for (const step of order) await step();
      await other();
      for (let n = 0; n < 4; n++) await queue(uniqueSearchId());
      await until(() => seen.length === 4);
      await workIsDone(bus);
      await open.pop()!.stop();
      release();
      await queue(uniqueSearchId());
      await until(() => seen.length === 5);
      await workIsDone(bus);
      await open.pop()!.stop();
      expect(seen.splice(0)).toEqual(["other", "other", "other", "other", "busy"]);
    }
    await second.drain();
  });

  it("begins no attempt that cannot be noted", async () => {
    const own = await startNats();
    let refused = 0;
    const warn = (message: string) => void (refused += message.includes("attempt cannot be noted") ? 1 : 0);
    const lone = await connect({ url: own.url, name: "lone", logger: { ...quiet, warn } });
    await provision(lone);
    const data = RetrainWork.fromPartial({});
    await publishWork(lone, { searchId: uniqueSearchId(), kind: "retrain", data, ordinal: 0 });
    await api(lone, { what: "delete" }, ({ streams }) => streams.delete(recordStream(HANDBACKS_BUCKET)));
    const deliveries: number[] = [];
    await work(
      {
        maxDeliveries: 2,
        backoffMs: 1,
        handler: (_work, context) => {
          deliveries.push(context.deliveries);
          return deliveries.length === 1 ? Promise.reject(new Error("crash")) : Promise.resolve();
        },
      },
      lone,
    );
    await until(() => refused >= 5);
    expect({ deliveries, redeliveries: lone.counters.redeliveries }).toEqual({ deliveries: [], redeliveries: 0 });
    await provision(lone);
    await until(() => deliveries.length === 2);
    expect(deliveries).toEqual([1, 2]);
    await open.pop()!.stop();
    await lone.drain();
    await own.stop();
  });

  it("charges no delivery that reached nobody", async () => {
    const durable = workDurable("retrain");
    const filter = queueFilter("retrain");
    const settings = { stream: WORK_STREAM, durable, filter, ackWaitMs: 300, maxAckPending: 1000 };
    await ensureDurable(bus, settings);
    await queue(uniqueSearchId());
    // As when a pull ends in the moment in which its item comes: nobody answers.
    for (let delivery = 1; delivery <= 4; delivery++)
      expect(await pullOne(bus, settings, new AbortController().signal)).toMatchObject({ deliveries: delivery });
    const seen: number[] = [];
    // The last of these deliveries lasts for the lease of the worker.
    await work({ handler: (_work, { deliveries }) => Promise.resolve(void seen.push(deliveries)), ackWaitMs: 3000 });
    await workIsDone(bus);
    expect(seen).toEqual([1]);
  });

  it("charges every delivery to an item whose record of attempts cannot be decoded", async () => {
    const searchId = uniqueSearchId();
    const ref = { searchId, kind: "retrain", data: RetrainWork.fromPartial({}), ordinal: 0 } as const;
    await publishWork(bus, ref);
    const deliveries: number[] = [];
    const ended: number[] = [];
    await work({
      maxDeliveries: 2,
      backoffMs: 1,
      handler: async ({ id }, context) => {
        deliveries.push(context.deliveries);
        const key = recordSubject(HANDBACKS_BUCKET, id.replaceAll(":", "/"));
        await bus.connection.request(key, JSON.stringify("many"));
        throw new Error("crash");
      },
      onExhausted: (failure) => Promise.resolve(void ended.push(failure.deliveries)),
    });
    await until(() => ended.length > 0);
    expect({ deliveries, ended }).toEqual({ deliveries: [1, 2], ended: [2] });
    await workIsDone(bus);
  });

  it("counts the failures of an item since its newest progress, whether its worker fails or dies", async () => {
    const id = uniqueSearchId();
    await queue(id);
    let made = 0;
    const progress = () => Promise.resolve(made);
    const deliveries: number[] = [];
    const ended: number[] = [];
    const failing = async (on: Bus, crashes: number, advances: boolean, handlerFails: boolean) => {
      for (let crash = 1; crash <= crashes; crash++) {
        const dying = handlerFails ? on : await connect({ url: nats.url, name: "dying", logger: quiet });
        let reached = false;
        const consumption = await takeWork<"retrain">(dying, {
          queues: [{ kind: "retrain" }],
          progress,
          backoffMs: 1,
          ackWaitMs: 1000,
          onExhausted: (failure) => Promise.resolve(void ended.push(failure.deliveries)),
          handler: (_work, context) => {
            deliveries.push(context.deliveries);
            if (advances) made++;
            reached = true;
            return handlerFails ? Promise.reject(new Error("crash")) : new Promise(() => {});
          },
        });
        await until(() => reached || ended.length > 0);
        if (handlerFails) await consumption.stop();
        else await dying.connection.close();
      }
    };
    await failing(bus, 4, true, true);
    await failing(bus, 4, true, false);
    expect(deliveries.splice(0).every((count) => count === 1)).toBe(true);
    expect(ended).toEqual([]);
    await failing(bus, 4, false, true);
    await workIsDone(bus);
    expect({ deliveries: deliveries.slice(-3), ended }).toEqual({ deliveries: [1, 2, 3], ended: [3] });
  });

  it("aborts a handler whose lease is lost, leaves the item alone and does not charge it", async () => {
    const own = await startNats();
    const lone = await connect({ url: own.url, name: "lone", logger: quiet });
    await provision(lone);
    await publishWork(lone, {
      searchId: uniqueSearchId(),
      kind: "retrain",
      data: RetrainWork.fromPartial({}),
      ordinal: 0,
    });
    const reasons: string[] = [];
    const deliveries: number[] = [];
    await work(
      {
        ackWaitMs: 2000,
        maxDeliveries: 1,
        backoffMs: 1,
        handler: (_work, context) => {
          deliveries.push(context.deliveries);
          if (deliveries.length > 1) return Promise.resolve();
          return new Promise<void>((resolve) =>
            context.signal.addEventListener("abort", () => {
              reasons.push((context.signal.reason as LatheError).reason);
              resolve();
            }),
          );
        },
      },
      lone,
    );
    await until(() => deliveries.length === 1);
    await own.kill();
    await until(() => reasons.length === 1);
    expect(reasons).toEqual(["LEASE_LOST"]);
    await own.restart();
    await until(() => deliveries.length === 2);
    expect(deliveries).toEqual([1, 1]);
    expect(lone.counters.leasesLost).toBe(1);
    await open.pop()!.stop();
    await lone.drain();
    await own.stop();
  });

  it("replaces a consumer that an earlier version has made with another filter", async () => {
    const old = {
      stream: WORK_STREAM,
      durable: "work-derive",
      filter: "lathe.work.derive",
      ackWaitMs: 1000,
      maxAckPending: 1,
    };
    await ensureDurable(bus, old);
    const id = uniqueSearchId();
    await publishWork(bus, { searchId: id, kind: "derive", data: DeriveWork.fromPartial({}), ordinal: 0 });
    const taken: string[] = [];
    const consumption = await takeWork<"derive">(bus, {
      queues: [{ kind: "derive" }],
      handler: ({ searchId }) => Promise.resolve(void taken.push(searchId)),
      onExhausted: ({ error }) => Promise.reject(error),
    });
    open.push(consumption);
    await workIsDone(bus);
    expect(taken).toEqual([id]);
  });

  it.each([
    ["retrain", undefined],
    ["profile", "cpu"],
  ] as const)(
    "moves an item of %s that cannot be read to the dead letters of its search",
    async (kind, deviceClass) => {
      const searchId = uniqueSearchId();
      const subject = workSubject(searchId, kind, deviceClass);
      const { seq } = (await bus.connection.request(subject, "no envelope")).json<{ seq: number }>();
      const ended = { handler: () => Promise.resolve(), onExhausted: () => Promise.resolve() };
      open.push(await takeWork(bus, { queues: [{ kind, ...(deviceClass && { deviceClass }) }], ...ended }));
      await workIsDone(bus);
      const letter = (await deadLetters(bus, 0, 100)).find(({ messageSequence }) => messageSequence === seq);
      const consumer = workDurable(kind, deviceClass);
      expect(letter).toMatchObject({ stream: "WORK", subject, searchId, consumer, reason: "ENVELOPE_MALFORMED" });
      expect(Buffer.from(letter!.data).toString()).toBe("no envelope");
    },
  );

  it("keeps the device classes of the profile queue apart", async () => {
    const seen: string[] = [];
    // The item of the other class lies between two that are taken, so it has been passed over.
    const data = { onnx: undefined, space: undefined, profiling: undefined, genotype: undefined };
    for (const deviceClass of ["gpu", "cpu", "gpu"])
      await publishWork(bus, { searchId: uniqueSearchId(), kind: "profile", data, ordinal: "network", deviceClass });
    open.push(
      await takeWork(bus, {
        queues: [{ kind: "profile", deviceClass: "gpu" }],
        handler: ({ id }) => Promise.resolve(void seen.push(id)),
        onExhausted: () => Promise.resolve(),
      }),
    );
    await until(async () => (await queuedWork(bus)) === 1);
    expect(seen).toHaveLength(2);
  });
});

/** Passes one connection on to NATS. What NATS sends is held between hold() and release(). */
async function relayTo(url: string) {
  let nats: Socket | undefined;
  const server = createServer((client) => {
    nats = connectTcp(Number(new URL(url).port), "127.0.0.1");
    nats.on("data", (data) => client.write(data)).on("close", () => client.destroy());
    client.pipe(nats);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `nats://127.0.0.1:${(server.address() as AddressInfo).port}`,
    hold: () => nats?.pause(),
    release: () => nats?.resume(),
    close: () => server.close(),
  };
}

describe("a worker of two queues", () => {
  const queues = [{ kind: "derive" }, { kind: "retrain" }] as const;
  const derive = (searchId: string) =>
    publishWork(bus, { searchId, kind: "derive", data: DeriveWork.fromPartial({}), ordinal: 0 });
  const info = (kind: WorkKind) => {
    const name = workDurable(kind);
    return api(bus, { what: name }, ({ consumers }) => consumers.info(WORK_STREAM, name));
  };
  /** Items that a worker has, and those that were given back and not yet pulled again. */
  const delivered = async (kind: WorkKind) => (await info(kind)).num_ack_pending;
  /** Holds each item until it is released. */
  async function holding(on = bus) {
    const seen: string[] = [];
    const releases: (() => void)[] = [];
    open.push(
      await takeWork(on, {
        queues,
        handler: ({ kind }, { deliveries }) =>
          new Promise<void>((resolve) => {
            seen.push(`${kind} ${deliveries}`);
            releases.push(resolve);
          }),
        onExhausted: ({ error }) => Promise.reject(error),
      }),
    );
    return { seen, releases };
  }

  it("leaves the items of both queues to others while it has one in hand, and serves the queues in turn", async () => {
    for (let n = 0; n < 2; n++) {
      await derive(uniqueSearchId());
      await queue(uniqueSearchId());
    }
    const { seen, releases } = await holding();
    for (let taken = 1; taken <= 4; taken++) {
      await until(() => seen.length === taken);
      expect((await delivered("derive")) + (await delivered("retrain"))).toBe(1);
      releases[taken - 1]!();
    }
    await workIsDone(bus);
    expect(seen).toEqual(["derive 1", "retrain 1", "derive 1", "retrain 1"]);
  });

  it("takes one of two items that arrive at once, and gives the other to a worker that is free, without a charge", async () => {
    const relay = await relayTo(nats.url);
    const far = await connect({ url: relay.url, name: "far", logger: quiet });
    for (let round = 0; round < 3; round++) {
      const first = await holding(far);
      await until(async () => (await info("derive")).num_waiting + (await info("retrain")).num_waiting === 2);
      relay.hold();
      await Promise.all([derive(uniqueSearchId()), queue(uniqueSearchId())]);
      // Each pull has its item, or has expired.
      await until(async () => (await info("derive")).num_waiting + (await info("retrain")).num_waiting === 0);
      relay.release();
      await until(() => first.seen.length === 1);
      const second = await holding(bus);
      await until(() => second.seen.length === 1);
      expect([...first.seen, ...second.seen].sort()).toEqual(["derive 1", "retrain 1"]);
      first.releases[0]!();
      second.releases[0]!();
      await workIsDone(bus);
      await Promise.all(open.splice(0).map((consumption) => consumption.stop()));
    }
    await far.drain();
    relay.close();
  });
});
