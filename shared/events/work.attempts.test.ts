import { LatheError } from "../process/errors";
import { RetrainWork } from "../proto/lathe/v1/events";
import { quiet, workIsDone } from "../testing/bus";
import { startNats, uniqueSearchId } from "../testing/nats";
import { until } from "../testing/until";
import { connect, type Bus } from "./bus";
import { ensureDurable, pullOne } from "./pull";
import { api } from "./jetstream";
import { publishWork } from "./publisher";
import { provision } from "./streams";
import { HANDBACKS_BUCKET, queueFilter, recordStream, recordSubject, WORK_STREAM, workDurable } from "./subjects";
import { takeWork } from "./work";
import { nats, bus, open, work, queue } from "./work.fixture";

describe("the attempts of a work item", () => {
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
    const failing = async (on: Bus, crashes: number, advances: boolean, handlerFails: boolean, ackWaitMs = 1000) => {
      for (let crash = 1; crash <= crashes; crash++) {
        const dying = handlerFails ? on : await connect({ url: nats.url, name: "dying", logger: quiet });
        let reached = false;
        const consumption = await takeWork<"retrain">(dying, {
          queues: [{ kind: "retrain" }],
          progress,
          backoffMs: 1,
          ackWaitMs,
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
    // On a busy machine a short lease may be lost; the item then comes again with the same count.
    await failing(bus, 3, false, true, 10_000);
    await workIsDone(bus);
    expect({ deliveries, ended }).toEqual({ deliveries: [1, 2, 3], ended: [3] });
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
});
