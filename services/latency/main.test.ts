import { spawn, type ChildProcess } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectBus } from "../../shared/events/bus";
import { classesOf, Workers } from "../../shared/events/presence";
import { entry } from "../../shared/process/entry";
import type { ReadyFile } from "../../shared/process/boot";
import { LatencyServiceClient } from "../../shared/proto/lathe/v1/latency";
import { connect } from "../../shared/rpc/client";
import { quiet } from "../../shared/testing/bus";
import { startNats, type TestNats } from "../../shared/testing/nats";
import { availableCores } from "./cpu";
import { listDevices } from "./devices";
import { thisMachine } from "./machine";
import { until } from "../../shared/testing/until";

const folder = mkdtempSync(join(tmpdir(), "lathe-latency-"));
const started: ChildProcess[] = [];
let nats: TestNats;
beforeAll(async () => {
  nats = await startNats();
});
afterAll(async () => {
  for (const child of started) child.kill("SIGKILL");
  await nats?.stop();
  rmSync(folder, { recursive: true });
});

/** Starts the service as its launcher does. */
function start(env: Record<string, string>) {
  const { path, execArgv } = entry(__dirname, "main");
  const child = spawn(process.execPath, [...execArgv, path], {
    env: { ...process.env, LATHE_NATS_URL: nats.url, ...env },
    stdio: ["ignore", "ignore", "pipe"],
  });
  started.push(child);
  let log = "";
  child.stderr?.setEncoding("utf8").on("data", (chunk: string) => (log += chunk));
  const ended = new Promise<number | string | null>((resolve) =>
    child.once("close", (code, signal) => resolve(code ?? signal)),
  );
  return { child, ended, log: () => log };
}

it("serves when ready, answers probes and calls, and stops in order on SIGTERM", async () => {
  const readyFile = join(folder, "ready.json");
  const { child, ended, log } = start({ LATHE_READY_FILE: readyFile, LATHE_DEVICE_CLASS: "rack-4" });
  await until(() => {
    if (child.exitCode !== null) throw new Error(log());
    return existsSync(readyFile);
  });
  const { grpcPort, httpPort } = JSON.parse(readFileSync(readyFile, "utf8")) as ReadyFile;
  const get = (path: string) => fetch(`http://127.0.0.1:${httpPort}${path}`);
  expect((await get("/readyz")).status).toBe(200);
  const text = await (await get("/metrics")).text();
  expect(text).toContain('nas_profiler_runs_total{kind="operators",outcome="ok"} 0');
  expect(text).toContain('grpc_method="ProfileNetwork"');
  const connection = connect(LatencyServiceClient, `127.0.0.1:${grpcPort}`);
  const { devices, workers } = await connection.api.listDevices({});
  const own = devices.find(({ deviceClass }) => deviceClass === "rack-4");
  expect(own).toMatchObject({
    available: true,
    provider: "CPUExecutionProvider",
    figures: { cpu: { cores: availableCores() } },
  });
  expect(workers).toEqual([{ id: expect.stringMatching(/^w-[0-9a-f]+$/) as string, figures: own?.figures }]);
  connection.close();
  const bus = await connectBus({ url: nats.url, name: "test", logger: quiet });
  expect(classesOf(await new Workers(bus).alive())).toEqual(["rack-4"]);
  child.kill("SIGTERM");
  expect(await ended).toBe(0);
  expect(log()).toContain('"msg":"stopped"');
  // Its entry would live for some seconds more.
  expect(await new Workers(bus).alive()).toEqual([]);
  await bus.drain();
});

/** Makes the first measuring processes of a service kill themselves while they start, and keeps their number in a file. */
function killMeasuring(times: number): Record<string, string> {
  const [script, count] = [join(folder, `kill-${times}.cjs`), join(folder, `killed-${times}`)];
  writeFileSync(count, "");
  writeFileSync(
    script,
    `const fs = require("node:fs");
    if (/latency.worker\\.[jt]s$/.test(process.argv[1] ?? "")) {
      const killed = fs.readFileSync(${JSON.stringify(count)}, "utf8").length;
      if (killed < ${times}) {
        fs.appendFileSync(${JSON.stringify(count)}, "x");
        // The first is killed, the others end as V8 ends a process that gets no memory.
        if (killed === 0) process.kill(process.pid, "SIGKILL");
        fs.writeSync(2, "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory\\n");
        process.abort();
      }
    }`,
  );
  return { NODE_OPTIONS: `--require ${script}` };
}

it("is ready once a measuring process lives, where the first ones die while it starts, and says so", async () => {
  const readyFile = join(folder, "second.json");
  const { child, log } = start({ LATHE_READY_FILE: readyFile, ...killMeasuring(2) });
  await until(() => {
    if (child.exitCode !== null) throw new Error(log());
    return existsSync(readyFile);
  });
  const messages = log()
    .split("\n")
    .filter((line) =>
      /attempt \d of 5 to list the devices: worker worker \(pid \d+\) (died: killed by SIGKILL|got no more memory and died: killed by SIGABRT)/.test(
        line,
      ),
    );
  expect(messages).toHaveLength(2);
  const { httpPort } = JSON.parse(readFileSync(readyFile, "utf8")) as ReadyFile;
  expect((await fetch(`http://127.0.0.1:${httpPort}/readyz`)).status).toBe(200);
});

it("ends with the reason where every measuring process dies", async () => {
  const service = start(killMeasuring(9));
  expect(await service.ended).toBe(1);
  expect(service.log()).toMatch(/cannot start: the devices could not be listed in 5 attempts: worker worker \(pid/);
  expect(service.log()).toContain("DEVICES_UNKNOWN");
});

it("does not start with a wrong setting, and says so in one line", async () => {
  const service = start({
    LATHE_DEVICE_CLASS: "rack.4",
    LATHE_PROFILING_PROVIDER: "tpu",
    LATHE_PROFILING_THREADS: String(availableCores() + 1),
  });
  expect(await service.ended).toBe(2);
  for (const fault of [
    'LATHE_DEVICE_CLASS is \\"rack.4\\": must be 1 to 32 of a-z, 0-9 and -, and not begin with -',
    'LATHE_PROFILING_PROVIDER is \\"tpu\\": must be one of cpu, cuda, tensorrt',
    `must be at most ${availableCores()}, the logical cores of this process`,
  ])
    expect(service.log()).toContain(fault);
});

it("does not start for a device that the machine does not have", async () => {
  const devices = await listDevices(thisMachine, { deviceClass: "cpu", provider: "cpu" }, 1);
  const absent = devices.find(({ available }) => !available);
  // On a GPU node with its build of ONNX Runtime, the device is there.
  if (!absent) return;
  const service = start({ LATHE_DEVICE_CLASS: "rack-4", LATHE_PROFILING_PROVIDER: absent.deviceClass });
  expect(await service.ended).toBe(1);
  expect(service.log()).toContain(`cannot start: device class rack-4 is not available here`);
});
