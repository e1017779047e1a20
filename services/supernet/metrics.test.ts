import { createMetrics } from "../../shared/process/metrics";
import { trainingMetrics } from "./metrics";

const start = new Date("2026-01-01T00:00:00Z").getTime() / 1000;
const registry = createMetrics();
const metrics = trainingMetrics(registry, () => 0);
const at = (seconds: number) => jest.setSystemTime(1000 * (start + seconds));
const store = (bucket: string) => metrics.stored(bucket, 1, () => Promise.resolve());
const value = async (name: string) =>
  (await registry.registry.metrics())
    .split("\n")
    .find((line) => line.startsWith(name))
    ?.split(" ")[1];
const interval = () => value("nas_training_checkpoint_interval_seconds");

beforeAll(() => jest.useFakeTimers({ now: 1000 * start, doNotFake: ["performance", "setImmediate", "nextTick"] }));
afterAll(() => jest.useRealTimers());

it("exports when a training began, and its longest time between two checkpoints", async () => {
  expect([await value("nas_training_started"), await interval()]).toEqual([undefined, undefined]);
  const ended = metrics.began();
  expect([await value("nas_training_started"), await interval()]).toEqual([String(start), "0"]);
  at(100);
  await store("checkpoints");
  // The time to the first checkpoint includes compilation, so it does not count.
  expect(await interval()).toBe("0");
  at(130);
  await store("checkpoints");
  expect(await interval()).toBe("30");
  at(150);
  await store("artifacts");
  await store("checkpoints");
  expect(await interval()).toBe("30");
  expect(await value('nas_checkpoint_last_success_timestamp_seconds{bucket="checkpoints"}')).toBe(String(start + 150));
  ended();
  expect([await value("nas_training_started"), await interval()]).toEqual([undefined, undefined]);
  at(9000);
  metrics.began();
  await store("checkpoints");
  expect(await interval()).toBe("0");
});

it("keeps the time of the last success if a store fails, and counts the failure", async () => {
  at(9100);
  await expect(metrics.stored("checkpoints", 1, () => Promise.reject(new Error("no room")))).rejects.toThrow("no room");
  expect(await value('nas_checkpoint_last_success_timestamp_seconds{bucket="checkpoints"}')).toBe(String(start + 9000));
  expect(await value('nas_checkpoint_failures_total{bucket="checkpoints"}')).toBe("1");
});
