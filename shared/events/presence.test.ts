import { DeviceFigures } from "../proto/lathe/v1/result";
import { quiet, startTestBus } from "../testing/bus";
import type { TestNats } from "../testing/nats";
import { until } from "../testing/until";
import { connect, type Bus } from "./bus";
import { purgeSubjects, store } from "./jetstream";
import { announce, classesOf, serves, Workers, type Announcement } from "./presence";
import { DEVICES_BUCKET, recordStream, recordSubject } from "./subjects";

const device = (deviceClass: string) => DeviceFigures.fromPartial({ deviceClass, cpu: { cores: 2 }, key: "ab" });

let nats: TestNats;
let bus: Bus;
let workers: Workers;
const running: Announcement[] = [];
beforeAll(async () => {
  ({ nats, bus } = await startTestBus());
  workers = new Workers(bus);
});
afterEach(async () => {
  await Promise.all(running.splice(0).map((presence) => presence.stop()));
});
afterAll(async () => {
  await bus?.drain();
  await nats?.stop();
});

async function start(deviceClass: string): Promise<Announcement> {
  const presence = announce(bus, device(deviceClass));
  running.push(presence);
  await presence.announced;
  return presence;
}
const classes = async () => classesOf(await workers.alive());

it("lists each worker with what it measures on, and no longer once it has stopped", async () => {
  const first = await start("rack-4");
  await start("cpu");
  await start("cpu");
  expect(await classes()).toEqual(["cpu", "rack-4"]);
  const all = await workers.alive();
  expect(all.filter(serves("cpu"))).toHaveLength(2);
  expect(new Set(all.map(({ id }) => id)).size).toBe(3);
  expect(all.map(({ figures }) => figures)).toEqual([device("cpu"), device("cpu"), device("rack-4")]);
  await first.stop();
  expect(await classes()).toEqual(["cpu"]);
});

it("forgets a worker that died without a word", async () => {
  // The entry of a worker of which nothing was heard after its first announcement.
  const subject = recordSubject(DEVICES_BUCKET, "cuda.w-dead");
  const data = Buffer.from(JSON.stringify({ id: "w-dead", figures: { deviceClass: "cuda" } }));
  await store(bus, subject, data, { what: "an entry", msgId: "w-dead" });
  await start("cpu");
  expect(await classes()).toEqual(["cpu", "cuda"]);
  await until(classes, (found) => found.length === 1);
  expect(await classes()).toEqual(["cpu"]);
});

it("announces a worker again whose entry is lost, at once after NATS was away", async () => {
  await start("cpu");
  await purgeSubjects(bus, recordStream(DEVICES_BUCKET), recordSubject(DEVICES_BUCKET, ">"));
  expect(await classes()).toEqual([]);
  await until(classes, (found) => found.length === 1);
  await purgeSubjects(bus, recordStream(DEVICES_BUCKET), recordSubject(DEVICES_BUCKET, ">"));
  await nats.restart();
  expect(classesOf(await workers.serving("cpu"))).toEqual(["cpu"]);
});

it("waits for workers that may not have announced themselves yet, and for no others", async () => {
  const other = await connect({ url: nats.url, name: "other", logger: quiet });
  const fresh = new Workers(other);
  const found = fresh.serving("cpu");
  await start("cpu");
  expect(classesOf(await found)).toEqual(["cpu"]);
  // With workers there, a class that none of them serves is known to be missing.
  expect(fresh.areSettled(await fresh.alive())).toBe(true);
  expect(classesOf(await fresh.serving("cuda"))).toEqual(["cpu"]);
  await other.drain();
});
