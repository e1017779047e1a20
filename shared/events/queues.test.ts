import { createMetrics } from "../process/metrics";
import { ProfileWork, RetrainWork } from "../proto/lathe/v1/events";
import { quiet, startTestBus } from "../testing/bus";
import { uniqueSearchId, type TestNats } from "../testing/nats";
import { until } from "../testing/until";
import { connect, type Bus } from "./bus";
import { consumeEvents } from "./consumer";
import { publishEvent, publishWork } from "./publisher";
import { queueMetrics } from "./queues";
import { eventFilter } from "./subjects";
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

it("reports the pending items of a queue and those in hand, and no series without NATS", async () => {
  let taken = (): void => {};
  let finish = (): void => {};
  const inHand = new Promise<void>((resolve) => (taken = resolve));
  const finished = new Promise<void>((resolve) => (finish = resolve));
  for (let resumption = 0; resumption < 3; resumption++)
    await publishWork(bus, {
      searchId: uniqueSearchId(),
      kind: "retrain",
      data: RetrainWork.fromPartial({ resumption }),
      ordinal: resumption,
    });
  const consumption = await takeWork(bus, {
    queues: [{ kind: "retrain" }],
    handler: async () => {
      taken();
      await finished;
    },
    onExhausted: ({ error }) => Promise.reject(error),
  });
  await inHand;
  // No worker has ever pulled work of this class.
  await publishWork(bus, {
    searchId: uniqueSearchId(),
    kind: "profile",
    deviceClass: "cuda",
    data: ProfileWork.fromPartial({}),
    ordinal: "network",
  });
  const metrics = createMetrics();
  queueMetrics(metrics, bus);
  const text = await metrics.registry.metrics();
  const labels = '{stream="WORK",consumer="work-retrain"}';
  expect(text).toContain(`nas_jetstream_consumer_pending${labels} 2`);
  expect(text).toContain(`nas_jetstream_consumer_ack_pending${labels} 1`);
  expect(text).toContain(`nas_jetstream_consumer_redelivered${labels} 0`);
  expect(text).toContain(`nas_jetstream_consumer_idle${labels} 0`);
  expect(text).toContain('nas_jetstream_stuck_messages{stream="WORK"} 1');
  const other = await connect({ url: nats.url, name: "other", logger: quiet });
  const elsewhere = createMetrics();
  queueMetrics(elsewhere, other);
  // A process that does not pull from a queue reports it too, but not its idle workers.
  const seen = await elsewhere.registry.metrics();
  expect(seen).toContain(`nas_jetstream_consumer_pending${labels} 2`);
  expect(seen).not.toContain("nas_jetstream_consumer_idle{");
  await other.drain();
  finish();
  const idle = `nas_jetstream_consumer_idle${labels} 1`;
  await until(
    () => metrics.registry.metrics(),
    (text) => text.includes(idle),
  );
  await consumption.stop();
  await bus.drain();
  const silent = await metrics.registry.metrics();
  for (const name of ["nas_jetstream_consumer_pending{", "nas_jetstream_stuck_messages{"])
    expect(silent).not.toContain(name);
});

it("counts a consumer of events as idle while it has no event in hand", async () => {
  const { nats: own, bus: lone } = await startTestBus();
  let taken = () => {};
  let finish = () => {};
  const inHand = new Promise<void>((resolve) => (taken = resolve));
  const finished = new Promise<void>((resolve) => (finish = resolve));
  const consumption = await consumeEvents(lone, {
    durable: "decisions",
    filter: eventFilter("search.paused"),
    handler: () => (taken(), finished),
    onGivenUp: ({ error }) => Promise.reject(error),
  });
  const metrics = createMetrics();
  queueMetrics(metrics, lone);
  const idle = async () => /consumer_idle\{.*\} (\d)/.exec(await metrics.registry.metrics())?.[1];
  expect(await idle()).toBe("1");
  await publishEvent(lone, uniqueSearchId(), { type: "search.paused", data: {} });
  await inHand;
  expect(await idle()).toBe("0");
  finish();
  await until(async () => (await idle()) === "1");
  await consumption.stop();
  expect(await idle()).toBe("0");
  await lone.drain();
  await own.stop();
});

it("reports the pending events of a durable whose service is down", async () => {
  const { nats: own, bus: search } = await startTestBus();
  const gone = await connect({ url: own.url, name: "gone", logger: quiet });
  const consumption = await consumeEvents(gone, {
    durable: "decisions",
    filter: eventFilter("search.paused"),
    handler: () => Promise.resolve(),
    onGivenUp: ({ error }) => Promise.reject(error),
  });
  await consumption.stop();
  await gone.drain();
  await publishEvent(search, uniqueSearchId(), { type: "search.paused", data: {} });
  const metrics = createMetrics();
  queueMetrics(metrics, search, ["decisions", "never-made"]);
  const text = await metrics.registry.metrics();
  expect(text).toContain('nas_jetstream_consumer_pending{stream="EVENTS",consumer="decisions"} 1');
  expect(text).not.toContain("never-made");
  expect(text).toContain('nas_jetstream_stuck_messages{stream="WORK"} 0');
  await search.drain();
  await own.stop();
});
