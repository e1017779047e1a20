import { createMetrics } from "../process/metrics";
import { RetrainWork } from "../proto/lathe/v1/events";
import { startNats, uniqueSearchId, type TestNats } from "../testing/nats";
import { connect, type Bus } from "./bus";
import { publishWork } from "./publisher";
import { queueMetrics } from "./queues";
import { provision } from "./streams";
import { takeWork } from "./work";

const quiet = { info() {}, warn() {}, error() {} };
let nats: TestNats;
let bus: Bus;
beforeAll(async () => {
  nats = await startNats();
  bus = await connect({ url: nats.url, name: "test", logger: quiet });
  await provision(bus);
});
afterAll(async () => {
  await bus?.drain();
  await nats?.stop();
});

it("tells what waits in a queue and what is in hand, and is silent without NATS", async () => {
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
    kind: "retrain",
    handler: async () => {
      taken();
      await finished;
      return "done";
    },
    onExhausted: ({ error }) => Promise.reject(error),
  });
  await inHand;
  const metrics = createMetrics();
  queueMetrics(metrics, bus);
  const text = await metrics.registry.metrics();
  const labels = '{stream="WORK",consumer="work-retrain"}';
  expect(text).toContain(`nas_jetstream_consumer_pending${labels} 2`);
  expect(text).toContain(`nas_jetstream_consumer_ack_pending${labels} 1`);
  expect(text).toContain(`nas_jetstream_consumer_redelivered${labels} 0`);
  finish();
  await consumption.stop();
  await bus.drain();
  expect(await metrics.registry.metrics()).not.toContain("nas_jetstream_consumer_pending{");
});
