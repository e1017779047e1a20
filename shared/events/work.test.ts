import { setTimeout as pause } from "node:timers/promises";
import { LatheError } from "../process/errors";
import { Turns } from "../process/turns";
import { queuedWork, quiet, workIsDone } from "../testing/bus";
import { uniqueSearchId } from "../testing/nats";
import { until } from "../testing/until";
import { connect } from "./bus";
import { workDurable } from "./subjects";
import { nats, bus, open, type Options, work, queue } from "./work.fixture";

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
});
