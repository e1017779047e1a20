import { ProfileWork } from "../proto/lathe/v1/events";
import { queuedWork, startTestBus } from "../testing/bus";
import { uniqueSearchId, type TestNats } from "../testing/nats";
import { until } from "../testing/until";
import type { Bus } from "./bus";
import { publishWork } from "./publisher";
import { createQuota, type Quota } from "./quota";
import { takeWork } from "./work";

/** Whether a promise is settled once all pending work that needs no timer or message has run. */
async function stateOf(promise: Promise<void>): Promise<"done" | "open"> {
  const turn = new Promise<"open">((resolve) => setImmediate(() => resolve("open")));
  return Promise.race([promise.then(() => "done" as const), turn]);
}

describe("a quota", () => {
  it("is full after its number of items, and done once these are settled", async () => {
    const quota = createQuota(2, 60_000);
    quota.take();
    expect(quota.full.aborted).toBe(false);
    quota.settle();
    quota.take();
    expect(quota.full.aborted).toBe(true);
    expect(await stateOf(quota.done)).toBe("open");
    quota.settle();
    expect(await stateOf(quota.done)).toBe("done");
  });

  it("ends if no item comes, before or after the first one, and waits for the item in hand", async () => {
    const idle = createQuota(5, 10);
    await idle.done;
    expect(idle.full.aborted).toBe(true);

    const busy = createQuota(5, 10);
    busy.take();
    // Timers run in order: once a timer that was set later and for longer has run, that of the quota would have run too.
    await createQuota(5, 20).done;
    expect(await stateOf(busy.done)).toBe("open");
    busy.settle();
    await busy.done;
  });
});

describe("a worker of two queues with a quota", () => {
  let nats: TestNats;
  let bus: Bus;
  beforeAll(async () => {
    ({ nats, bus } = await startTestBus());
  });
  afterAll(async () => {
    await bus?.drain();
    await nats?.stop();
  });

  const queue = (searchId: string, deviceClass: string) =>
    publishWork(bus, { searchId, kind: "profile", deviceClass, data: ProfileWork.fromPartial({}), ordinal: "one" });
  const take = (quota: Quota, seen: string[], hold: Promise<void>) =>
    takeWork(bus, {
      queues: [0, 1].map((at) => ({ kind: "profile", deviceClass: `class-${at}` })),
      quota,
      onExhausted: ({ error }) => Promise.reject(error),
      handler: async (work, { deliveries }) => {
        seen.push(`${work.searchId} ${deliveries}`);
        await hold;
      },
    });

  it("takes no more items than the quota allows, acknowledges those, and leaves the rest untouched", async () => {
    const ids = [uniqueSearchId(), uniqueSearchId()];
    await Promise.all(ids.map((id, at) => queue(id, `class-${at}`)));
    const seen: string[] = [];
    let release = () => {};
    const hold = new Promise<void>((resolve) => (release = resolve));
    const quota = createQuota(1, 20_000);
    const first = await take(quota, seen, hold);
    await until(() => seen.length > 0);
    release();
    await quota.done;
    expect(seen).toHaveLength(1);
    expect(await queuedWork(bus)).toBe(1);
    await first.stop();

    const second = createQuota(1, 20_000);
    const rest = await take(second, seen, hold);
    await second.done;
    await rest.stop();
    expect(seen.sort()).toEqual(ids.map((id) => `${id} 1`).sort());
    expect(await queuedWork(bus)).toBe(0);
  });
});
