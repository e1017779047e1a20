import { setTimeout as pause } from "node:timers/promises";
import { LatheError } from "../process/errors";
import { RetrainWork } from "../proto/lathe/v1/events";
import { quiet, startTestBus } from "../testing/bus";
import { startNats, uniqueSearchId, type TestNats } from "../testing/nats";
import { until } from "../testing/until";
import { connect, type Bus } from "./bus";
import type { Consumption } from "./consumer";
import { api } from "./jetstream";
import { publishWork } from "./publisher";
import { provision } from "./streams";
import { WORK_STREAM, workSubject } from "./subjects";
import { takeWork, type WorkOutcome, type WorkerOptions } from "./work";

let nats: TestNats;
let bus: Bus;
const open: Consumption[] = [];
beforeAll(async () => {
  ({ nats, bus } = await startTestBus());
});
afterEach(async () => {
  await Promise.all(open.splice(0).map((consumption) => consumption.stop()));
  await api(bus, `STREAM.PURGE.${WORK_STREAM}`, undefined, { what: "purge" });
});
afterAll(async () => {
  await bus?.drain();
  await nats?.stop();
});

type Options = Partial<WorkerOptions<"retrain">>;
async function work(options: Options, on = bus): Promise<Consumption> {
  const consumption = await takeWork(on, {
    kind: "retrain",
    handler: () => Promise.resolve("done"),
    onExhausted: ({ error }) => Promise.reject(error),
    backoffMs: 20,
    ...options,
  });
  open.push(consumption);
  return consumption;
}
const queue = (searchId: string, resumption = 0) =>
  publishWork(bus, { searchId, kind: "retrain", data: RetrainWork.fromPartial({ resumption }), ordinal: resumption });
const queued = async () =>
  (await api<{ state: { messages: number } }>(bus, `STREAM.INFO.${WORK_STREAM}`, undefined, { what: "info" })).state
    .messages;

describe("takeWork", () => {
  it("keeps an item whose NATS has no room, and takes it up again in the same delivery", async () => {
    const searchId = uniqueSearchId();
    const full = new LatheError("RESOURCE_EXHAUSTED", "no room", { reason: "STORAGE_FULL" });
    const deliveries: number[] = [];
    await work({
      handler: (_, context) => {
        deliveries.push(context.deliveries);
        return deliveries.length < 7 ? Promise.reject(full) : Promise.resolve("done");
      },
      maxDeliveries: 2,
      backoffMs: 1,
    });
    await queue(searchId);
    await until(async () => deliveries.length === 7 && (await queued()) === 0);
    expect(deliveries).toEqual([1, 1, 1, 1, 1, 1, 1]);
  });

  it("tells of an item for whose files there is no room, once there is room for the telling", async () => {
    const full = new LatheError("RESOURCE_EXHAUSTED", "no room", { reason: "STORAGE_FULL" });
    let attempts = 0;
    const told: unknown[] = [];
    await work({
      handler: () => {
        attempts++;
        return Promise.reject(full);
      },
      onExhausted: ({ error }) => {
        told.push(error.reason);
        return told.length < 3 ? Promise.reject(full) : Promise.resolve();
      },
      maxDeliveries: 2,
      backoffMs: 1,
    });
    await queue(uniqueSearchId());
    await until(async () => told.length === 3 && (await queued()) === 0);
    expect({ attempts, told }).toEqual({ attempts: 4, told: Array(3).fill("STORAGE_FULL") });
  });

  it("gives each item to one worker, one at a time", async () => {
    const taken: string[] = [];
    const running = [0, 0];
    // The first item of each worker waits for that of the other, so that both take part.
    const busy = () => until(() => new Set(taken.map((entry) => entry[0])).size === 2);
    const handler =
      (worker: number) =>
      async ({ searchId }: { searchId: string }): Promise<WorkOutcome> => {
        expect(++running[worker]!).toBe(1);
        taken.push(`${worker} ${searchId}`);
        await busy();
        running[worker]!--;
        return "done";
      };
    const ids = Array.from({ length: 6 }, uniqueSearchId);
    for (const id of ids) await queue(id);
    const second = await connect({ url: nats.url, name: "second", logger: quiet });
    await work({ handler: handler(0) });
    await work({ handler: handler(1) }, second);
    await until(async () => (await queued()) === 0);
    expect(taken.map((entry) => entry.slice(2)).sort()).toEqual([...ids].sort());
    expect(new Set(taken.map((entry) => entry[0])).size).toBe(2);
    await open.pop()!.stop();
    await second.drain();
  });

  it("keeps an item that takes longer than the ack wait", async () => {
    // Only a machine that stands still for two seconds would delay the worker's sign of life, sent every 750 ms, that long.
    const ackWaitMs = 3000;
    const id = uniqueSearchId();
    await queue(id, 3);
    const taken: unknown[] = [];
    const handler: Options["handler"] = async ({ id, data }, { signal, deliveries }) => {
      taken.push([id, data.resumption, deliveries]);
      await pause(2 * ackWaitMs);
      expect(signal.aborted).toBe(false);
      return "done";
    };
    await work({ handler, ackWaitMs });
    await work({ handler, ackWaitMs });
    await until(async () => (await queued()) === 0);
    expect(taken).toEqual([[`${id}:retrain:3`, 3, 1]]);
  });

  it("passes the item of a dead worker on, and ends it when the deliveries are used up", async () => {
    const id = uniqueSearchId();
    await queue(id);
    for (let death = 1; death <= 2; death++) {
      const dying = await connect({ url: nats.url, name: "dying", logger: quiet });
      await new Promise<void>((resolve) => {
        void takeWork(dying, {
          kind: "retrain",
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
      handler: () => (handled++, Promise.resolve("done")),
      onExhausted: ({ work, deliveries, error }) =>
        Promise.resolve(void failures.push([work?.searchId, deliveries, error.reason])),
    });
    await until(async () => (await queued()) === 0);
    expect(failures).toEqual([[id, 2, "DELIVERIES_EXHAUSTED"]]);
    expect(handled).toBe(0);
  });

  it("repeats what may heal, ends what cannot, and says why", async () => {
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
    await until(async () => (await queued()) === 0);
    expect(seen.sort()).toEqual(["bad 1", "crash 1", "crash 2", "crash 3"]);
    expect(failures.sort()).toEqual(["DATASET_INVALID dataset 1", "INTERNAL crash 3 3"]);
  });

  it("does not count what was handed back", async () => {
    await queue(uniqueSearchId());
    const seen: number[] = [];
    await work({
      maxDeliveries: 1,
      handler: (_work, { deliveries }) => {
        seen.push(deliveries);
        return Promise.resolve(seen.length <= 3 ? "hand-back" : "done");
      },
    });
    await until(async () => (await queued()) === 0);
    expect(seen).toEqual([1, 1, 1, 1]);
  });

  it("repeats an item after the delay that its handler asks for", async () => {
    const [soon, late, after] = [uniqueSearchId(), uniqueSearchId(), uniqueSearchId()];
    const seen: string[] = [];
    await work({
      handler: ({ searchId }) => {
        seen.push(searchId);
        const first = seen.filter((id) => id === searchId).length === 1;
        const retryAfterMs = searchId === soon ? 1 : 3_600_000;
        return Promise.resolve(first && searchId !== after ? { retryAfterMs } : "done");
      },
    });
    for (const id of [late, soon, after]) await queue(id);
    // One item stays, not taken again though items behind it have been.
    await until(async () => (await queued()) === 1);
    expect(seen.sort()).toEqual([late, soon, soon, after].sort());
  });

  it("hands the item to another at once when the worker stops", async () => {
    await queue(uniqueSearchId());
    let entered = false;
    // Without a hand-back the item would come again after this hour.
    const ackWaitMs = 3_600_000;
    const stopping = await work({
      ackWaitMs,
      handler: (_work, { signal }) =>
        new Promise<WorkOutcome>((resolve) => {
          entered = true;
          signal.addEventListener("abort", () =>
            resolve((signal.reason as LatheError).reason === "STOPPING" ? "hand-back" : "done"),
          );
        }),
    });
    await until(() => entered);
    await stopping.stop();
    const seen: number[] = [];
    await work({ ackWaitMs, handler: (_work, { deliveries }) => (seen.push(deliveries), Promise.resolve("done")) });
    await until(() => seen.length === 1);
    expect(seen).toEqual([1]);
  });

  it("aborts a handler whose lease is lost, and leaves the item alone", async () => {
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
        handler: (_work, context) => {
          deliveries.push(context.deliveries);
          if (context.deliveries > 1) return Promise.resolve("done");
          return new Promise<WorkOutcome>((resolve) =>
            context.signal.addEventListener("abort", () => {
              reasons.push((context.signal.reason as LatheError).reason);
              resolve("done");
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
    expect(lone.counters.leasesLost).toBe(1);
    await open.pop()!.stop();
    await lone.drain();
    await own.stop();
  });

  it("ends an item that cannot be read", async () => {
    const failures: unknown[] = [];
    await bus.connection.request(workSubject("retrain"), "no envelope");
    await work({ onExhausted: ({ work, error }) => Promise.resolve(void failures.push([work, error.reason])) });
    await until(async () => (await queued()) === 0);
    expect(failures).toEqual([[undefined, "ENVELOPE_MALFORMED"]]);
  });

  it("keeps the device classes of the profile queue apart", async () => {
    const seen: string[] = [];
    // The item for the other class lies between two that are taken: it has been passed over, not merely waited for.
    for (const deviceClass of ["gpu", "cpu", "gpu"]) {
      const data = { onnx: undefined, space: undefined, profiling: undefined, genotype: undefined };
      await publishWork(bus, { searchId: uniqueSearchId(), kind: "profile", data, ordinal: "network", deviceClass });
    }
    open.push(
      await takeWork(bus, {
        kind: "profile",
        deviceClass: "gpu",
        handler: ({ id }) => (seen.push(id), Promise.resolve("done")),
        onExhausted: () => Promise.resolve(),
      }),
    );
    await until(async () => (await queued()) === 1);
    expect(seen).toHaveLength(2);
  });
});
