import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startGuard, type Guard } from "../cli/stack/guard";
import { serviceProcess } from "../cli/stack/stack";
import { takeStateFolder } from "../cli/stack/state";
import { purgeSubjects } from "../shared/events/jetstream";
import { DEVICES_BUCKET, recordStream, recordSubject, SEARCHES_BUCKET, WORK_STREAM } from "../shared/events/subjects";
import { LatheError } from "../shared/process/errors";
import { ConditionStatus, SearchState } from "../shared/proto/lathe/v1/search";
import { CostMetric } from "../shared/proto/lathe/v1/space";
import { SearchSpec } from "../shared/proto/lathe/v1/spec";
import { compiled } from "./compiled";
import { startCommand } from "./latheCommand";
import { smallSpec } from "./specs";
import { newFolder, SERVICE_ENV, System } from "./system";

const measured = (deviceClass: string, threads = 1) =>
  smallSpec({
    cost: { metric: CostMetric.COST_METRIC_LATENCY, target: 0.99 },
    profiling: { deviceClass, warmupRuns: 1, timedRuns: 5, threads },
  });

let system: System;
let folder: string;
let guard: Guard;
beforeAll(async () => {
  folder = newFolder();
  guard = startGuard();
  system = await System.start();
  for (const [name, spec] of [
    ["cuda", measured("cuda")],
    ["rack-4", measured("rack-4")],
    ["threads", measured("cpu", 256)],
  ] as const)
    writeFileSync(join(folder, `${name}.json`), JSON.stringify(SearchSpec.toJSON(spec)));
});
afterAll(async () => {
  await system?.stop();
  await guard?.stop();
});

const lathe = async (...args: string[]) => {
  const command = startCommand(folder, args);
  return { code: await command.ended, ...command.said };
};
const onStack = () => ["--address", system.stack.addresses().search.grpc];
const REFUSED =
  'lathe: profiling.device_class is "cuda", must be a device class with a live latency worker: only workers of cpu are alive; ' +
  "start a worker of this class, name another, or wait for one (--wait, wait_for_device)\n";

it("a device class that no worker serves is refused by every way in, and nothing is left behind", async () => {
  for (const deviceClass of ["cuda", "gpu0"]) {
    const refused = system.search.api.startSearch({ spec: measured(deviceClass), requestId: "" });
    const error = await refused.then(
      () => Promise.reject(new Error("the spec was taken")),
      (thrown: unknown) => LatheError.from(thrown),
    );
    expect(error).toMatchObject({
      code: "FAILED_PRECONDITION",
      reason: "DEVICE_NOT_SERVED",
      metadata: { field: "profiling.device_class", device_class: deviceClass, classes: "cpu" },
    });
  }
  expect(await lathe("search", "start", "-f", "cuda.json", ...onStack())).toEqual({
    code: 5,
    stdout: "",
    stderr: REFUSED,
  });
  // Its own stack would serve cpu alone, so it is not even started.
  expect(await lathe("run", "-f", "cuda.json", "--out", "out")).toEqual({ code: 5, stdout: "", stderr: REFUSED });
  const threads = await lathe("run", "-f", "threads.json", "--out", "out");
  expect(threads.stderr).toMatch(
    /^lathe: spec has 1 fault: profiling\.threads is 256, must be at most \d+, the logical cores? of device class cpu\n$/,
  );
  expect(threads.code).toBe(2);
  expect(existsSync(join(folder, "out"))).toBe(false);
  // So does an experiment, whose other cell could run: it has started none.
  writeFileSync(
    join(folder, "grid.json"),
    JSON.stringify({
      name: "devices",
      base: SearchSpec.toJSON(measured("cpu")),
      variants: { here: null, there: { profiling: { device_class: "cuda" } } },
    }),
  );
  const inCell = REFUSED.replace("\n", " (in 1 of 2 cells: there)\n");
  for (const service of [[], onStack()])
    expect(await lathe("experiment", "run", "-f", "grid.json", "--out", "grid", ...service)).toEqual({
      ...{ code: 5, stdout: "", stderr: inCell },
    });
  expect(existsSync(join(folder, "grid"))).toBe(false);
  for (const stream of [recordStream(SEARCHES_BUCKET), WORK_STREAM])
    expect((await system.stream(stream)).messages).toBe(0);
});

it("an experiment that is told to wait starts the cell, says that it waits, and keeps it to be continued", async () => {
  const run = ["experiment", "run", "-f", "grid.json", "--only", "there", "--out", "waits", "--wait"];
  const command = startCommand(folder, [...run, ...onStack()]);
  const waits = "the search waits for a latency worker of device class cuda: only workers of cpu are alive";
  await command.before(() => command.said.stdout.includes(waits));
  command.child.kill("SIGINT");
  expect(await command.ended).toBe(4);
  const [id = ""] = /s-[a-z2-7]{12}/.exec(command.said.stdout) ?? [];
  const cancelled = await system.search.api.cancelSearch({ searchId: id, reason: "" });
  expect(cancelled.search?.spec?.labels).toMatchObject({ experiment: "devices", cell: "there" });
});

it("threads above the logical cores are refused where a model is measured", async () => {
  writeFileSync(join(folder, "any.onnx"), "");
  const { code, stderr } = await lathe("profile", "network", "any.onnx", "--threads", "256");
  expect([code, stderr]).toEqual([
    2,
    expect.stringMatching(/^lathe: --threads is 256, must be at most \d+, the logical cores? of the device\n$/),
  ]);
});

it("a search that is told to wait says so, and goes on when the worker comes", async () => {
  const started = await lathe("search", "start", "-f", "rack-4.json", "--wait", ...onStack());
  const waits = "the search waits for a latency worker of device class rack-4: only workers of cpu are alive";
  expect(started).toMatchObject({ code: 0, stderr: `lathe: ${waits}\n` });
  const id = started.stdout.trim();
  expect((await lathe("search", "get", id, ...onStack())).stdout).toContain(
    `Device: false (DEVICE_NOT_SERVED): ${waits}`,
  );
  const doctor = await lathe("doctor", "--state", system.stack.folder, "--json");
  expect((JSON.parse(doctor.stdout) as { findings: unknown[] }).findings).toContainEqual({
    level: "warning",
    about: "search",
    found: `search ${id}: ${waits}`,
    mend: "start a latency service with that LATHE_DEVICE_CLASS, or cancel the search",
  });
  const watch = startCommand(folder, ["search", "watch", id, ...onStack()]);
  await watch.before(() => watch.said.stdout.includes(waits));

  const worker = serviceProcess("latency", system.stack.natsUrl, takeStateFolder(newFolder()), guard, {
    services: join(compiled(), "services"),
    env: { ...SERVICE_ENV, LATHE_DEVICE_CLASS: "rack-4" },
  });
  const child = await worker.start(new AbortController().signal);
  expect(await watch.ended).toBe(0);
  expect(watch.said.stdout).toContain("a latency worker of device class rack-4 is alive");
  const { state, conditions, result } = await system.get(id);
  expect(SearchState[state]).toBe("SEARCH_STATE_SUCCEEDED");
  expect(conditions.find(({ type }) => type === "Device")).toMatchObject({
    status: ConditionStatus.CONDITION_STATUS_TRUE,
  });
  expect(result?.latency).toMatchObject({
    deviceClass: "rack-4",
    threads: 1,
    measuredOn: {
      deviceClass: "rack-4",
      provider: "cpu",
      threads: 1,
      key: expect.stringMatching(/^[0-9a-f]{64}$/) as string,
    },
  });
  await child.stop(12_000);
});

it("a class stays served while NATS is away, and where it has lost the entries", async () => {
  await purgeSubjects(system.bus, recordStream(DEVICES_BUCKET), recordSubject(DEVICES_BUCKET, ">"));
  system.stack.kill("nats");
  const id = await system.begin(measured("cpu"));
  expect((await system.get(id)).conditions).toEqual([]);
  await system.search.api.cancelSearch({ searchId: id, reason: "" });
});
