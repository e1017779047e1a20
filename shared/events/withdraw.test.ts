import { DeriveWork, KeepWork, ProfileWork, RetrainWork, SearchCreated, TrainWork } from "../proto/lathe/v1/events";
import { queuedWork, startTestBus, workIsDone } from "../testing/bus";
import { uniqueSearchId, type TestNats } from "../testing/nats";
import { until } from "../testing/until";
import type { Bus } from "./bus";
import { publishEvent, publishWork } from "./publisher";
import { withdrawWork } from "./withdraw";
import { takeWork } from "./work";

let nats: TestNats;
let bus: Bus;
beforeAll(async () => {
  ({ nats, bus } = await startTestBus());
});
afterAll(async () => {
  await bus?.drain();
  await nats?.stop();
});

const retrain = (searchId: string, ordinal: number) =>
  publishWork(bus, { searchId, kind: "retrain", data: RetrainWork.fromPartial({}), ordinal });
const profile = (searchId: string, deviceClass: string, ordinal: string) =>
  publishWork(bus, { searchId, kind: "profile", deviceClass, data: ProfileWork.fromPartial({}), ordinal });

it("takes every item of one search out of the queue, also of a class without a worker, and leaves those of others", async () => {
  const [gone, other] = [uniqueSearchId(), uniqueSearchId()];
  for (const id of [gone, other]) {
    await publishWork(bus, { searchId: id, kind: "train", data: TrainWork.fromPartial({}), ordinal: 0 });
    await publishWork(bus, { searchId: id, kind: "derive", data: DeriveWork.fromPartial({}), ordinal: 0 });
    await retrain(id, 0);
    await profile(id, "cuda", "operators");
    await profile(id, "gpu0", "network");
  }
  await withdrawWork(bus, gone);
  await withdrawWork(bus, gone);
  expect(await queuedWork(bus)).toBe(5);
  const taken: string[] = [];
  const consumption = await takeWork(bus, {
    queues: [{ kind: "train" }, { kind: "derive" }, { kind: "retrain" }],
    handler: ({ searchId, kind }) => Promise.resolve(void taken.push(`${searchId} ${kind}`)),
    onExhausted: ({ error }) => Promise.reject(error),
  });
  await until(async () => (await queuedWork(bus)) === 2);
  await consumption.stop();
  expect(taken.sort()).toEqual(["derive", "retrain", "train"].map((kind) => `${other} ${kind}`));
  await withdrawWork(bus, other);
  expect(await queuedWork(bus)).toBe(0);
});

it("leaves the items of a later resumption, and the one that keeps the network of a cancelled search", async () => {
  const id = uniqueSearchId();
  await publishWork(bus, { searchId: id, kind: "keep", data: KeepWork.fromPartial({}), ordinal: "cancelled" });
  await retrain(id, 1);
  await retrain(id, 2);
  await profile(id, "cuda", "operators-1");
  await profile(id, "cuda", "operators-2");
  await withdrawWork(bus, id, 1);
  expect(await queuedWork(bus)).toBe(3);
  await withdrawWork(bus, id, 2);
  expect(await queuedWork(bus)).toBe(1);
  await withdrawWork(bus, id);
  expect(await queuedWork(bus)).toBe(0);
});

it("takes an item out of the hands of a worker, which ends it as any other and goes on", async () => {
  const [held, next] = [uniqueSearchId(), uniqueSearchId()];
  await publishEvent(bus, held, { type: "search.created", data: SearchCreated.fromPartial({}) });
  const taken: string[] = [];
  let end = () => {};
  const consumption = await takeWork(bus, {
    queues: [{ kind: "retrain" }],
    handler: ({ searchId }) => {
      taken.push(searchId);
      return searchId === held ? new Promise<void>((resolve) => (end = resolve)) : Promise.resolve();
    },
    onExhausted: ({ error }) => Promise.reject(error),
  });
  await retrain(held, 0);
  await until(() => taken.length === 1);
  await withdrawWork(bus, held);
  await retrain(next, 0);
  end();
  await until(() => taken.length === 2);
  await workIsDone(bus);
  await consumption.stop();
  expect(taken).toEqual([held, next]);
});
