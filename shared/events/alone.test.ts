import { join } from "node:path";
import { children } from "../process/hold";
import { startWorker } from "../process/worker";
import { quiet, startTestBus } from "../testing/bus";
import type { TestNats } from "../testing/nats";
import { patience, until } from "../testing/until";
import type { TestJob } from "../testing/workerJobs";
import { aloneOn, type Alone } from "./alone";
import type { Bus } from "./bus";
import { standStill } from "./standStill";
import { measuringSubject } from "./subjects";

const worker = startWorker<TestJob, number>({ dir: join(__dirname, "../testing"), name: "workerJobs" });

let nats: TestNats;
let bus: Bus;
const endings: (() => unknown)[] = [];
beforeAll(async () => {
  ({ nats, bus } = await startTestBus());
});
afterEach(async () => {
  for (const end of endings.splice(0)) await end();
});
afterAll(async () => {
  await bus?.drain();
  await nats?.stop();
});

/** A child that takes steps until the end of the test. */
function stepping() {
  const ending = new AbortController();
  const child = { steps: 0 };
  const options = { signal: ending.signal, onMessage: (step: number) => void (child.steps = step) };
  const ended = worker.run({ do: "take steps" }, options).catch(() => {});
  endings.push(() => {
    ending.abort();
    return ended;
  });
  return child;
}

/** A service of a machine that computes. */
function computing(machine: string, options: Parameters<typeof standStill>[1] = {}) {
  const stood: number[] = [];
  endings.push(standStill(bus, { machine, stood: (seconds) => stood.push(seconds), ...options }));
  return stood;
}

/** A latency worker of a machine. */
function measuring(machine: string): Alone {
  const { alone, stop } = aloneOn(bus, { deviceClass: "cpu", machine });
  endings.push(stop);
  return alone;
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

it("the services of a machine take no step while a worker measures there, and those of another machine go on", async () => {
  const stood = computing("a");
  const alone = measuring("a");
  const elsewhere = measuring("b");
  const child = stepping();
  await until(() => child.steps > 0);
  await alone(async () => {
    expect(children.computing).toBe(0);
    const before = child.steps;
    await pause(100);
    expect(child.steps).toBe(before);
  }, patience());
  await until(() => children.computing === 1);
  expect(stood).toHaveLength(1);

  await elsewhere(async () => {
    const before = child.steps;
    await until(() => child.steps > before);
  }, patience());
  expect(stood).toHaveLength(1);
});

it("services go on after a failed measurement, and after one whose worker has fallen silent", async () => {
  computing("a", { silenceMs: 200 });
  const alone = measuring("a");
  const failed = alone(() => Promise.reject(new Error("no such device")), patience());
  await expect(failed).rejects.toThrow("no such device");
  await until(() => !children.isHeld);

  const said = { worker: "w-dead", deviceClass: "cpu", over: false };
  bus.connection.publish(measuringSubject("a"), JSON.stringify(said));
  await until(() => children.isHeld);
  await until(() => !children.isHeld);
});

it("services go on after the longest standstill, until nothing is measured", async () => {
  const stood = computing("a", { longestMs: 300 });
  const child = stepping();
  await until(() => child.steps > 0);
  await measuring("a")(async () => {
    await until(() => stood.length === 1);
    const before = child.steps;
    await until(() => child.steps > before);
  }, patience());
  await measuring("a")(() => Promise.resolve(expect(children.isHeld).toBe(true)), patience());
  await until(() => stood.length === 2);
});

it("two workers of a machine measure one after the other", async () => {
  let running = 0;
  const most = await Promise.all(
    [measuring("a"), measuring("a"), measuring("a")].map((alone) =>
      alone(async () => {
        const together = ++running;
        await pause(50);
        running--;
        return together;
      }, patience()),
    ),
  );
  expect(most).toEqual([1, 1, 1]);
});

it("a measurement that is aborted while it waits for its turn ends, and so does the standstill", async () => {
  computing("a");
  const others = measuring("a");
  const late = new AbortController();
  await others(async () => {
    const waits = measuring("a")(() => Promise.resolve("measured"), late.signal);
    late.abort(new Error("the caller has left"));
    await expect(waits).rejects.toThrow("the caller has left");
  }, patience());
  await until(() => !children.isHeld);
});

it.each(["", "{}", '{"worker":1,"deviceClass":"cpu","over":false}'])(
  "counts the malformed message %j",
  async (text) => {
    computing("a");
    const before = bus.counters.malformed;
    bus.connection.publish(measuringSubject("a"), text);
    await until(() => bus.counters.malformed > before);
    expect(children.isHeld).toBe(false);
  },
);

it("logs why the processes stand still", async () => {
  const lines: unknown[] = [];
  Object.assign(bus, { logger: { ...quiet, info: (line: string, fields: object) => lines.push([line, fields]) } });
  computing("a");
  const child = stepping();
  await until(() => child.steps > 0);
  await measuring("a")(() => Promise.resolve(), patience());
  expect(lines).toEqual([["the processes stand still while a latency worker measures", { deviceClass: "cpu" }]]);
});
