import { spawn } from "node:child_process";
import { once } from "node:events";
import type { Bus } from "../../shared/events/bus";
import { publishEvent, publishWork } from "../../shared/events/publisher";
import { entry } from "../../shared/process/entry";
import { TrainWork } from "../../shared/proto/lathe/v1/events";
import { queuedWork, startTestBus } from "../../shared/testing/bus";
import { uniqueSearchId, type TestNats } from "../../shared/testing/nats";

let nats: TestNats;
let bus: Bus;
beforeAll(async () => {
  ({ nats, bus } = await startTestBus());
});
afterAll(async () => {
  await bus?.drain();
  await nats?.stop();
});

it("with LATHE_JOBS=1 the process exits with 0 after one item, as a Job of a cluster must, and leaves the next item", async () => {
  for (let item = 0; item < 2; item++) {
    const searchId = uniqueSearchId();
    await publishEvent(bus, searchId, { type: "search.cancelled", data: { reason: "not wanted" } });
    await publishWork(bus, { searchId, kind: "train", data: TrainWork.fromPartial({}), ordinal: 0 });
  }
  const { path, execArgv } = entry(__dirname, "main");
  const env = { ...process.env, LATHE_NATS_URL: nats.url, LATHE_JOBS: "1" };
  const child = spawn(process.execPath, [...execArgv, path], { env, stdio: ["ignore", "ignore", "pipe"] });
  let log = "";
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => (log += chunk));
  const [code] = (await once(child, "exit")) as [number | null];
  expect(log).toContain("its work items are done");
  expect(code).toBe(0);
  expect(await queuedWork(bus)).toBe(1);
});
