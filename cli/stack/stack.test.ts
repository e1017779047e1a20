import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { LatheError } from "../../shared/process/errors";
import { lastLines } from "./child";
import { startGuard } from "./guard";
import { findNatsServer, requireNatsServer, startNats, type Nats } from "./nats";
import { SERVICES, startStack, type Stack } from "./stack";
import { isAlive } from "../../shared/testing/processes";
import { until } from "../../shared/testing/until";

const root = mkdtempSync(join(tmpdir(), "lathe-stack-"));
const require_ = (name: string) => JSON.stringify(require.resolve(name));

/** A service that only serves its health and ready file; it does not watch its parent, so that the guard has to. */
const stub = `
const grpc = require(${require_("@grpc/grpc-js")});
const { renameSync, writeFileSync } = require("node:fs");
const name = __dirname.split("/").at(-1);
console.error(JSON.stringify({ level: "info", msg: name + " starts on " + process.env.LATHE_NATS_URL + " with " + (process.env.LATHE_THREADS ?? "all") + " threads" }));
if (process.env.STUB_FAILS === name) { console.error(JSON.stringify({ level: "error", msg: "no disk for " + name })); process.exit(3); }
process.on("SIGTERM", () => process.exit(0));
const health = { path: "/grpc.health.v1.Health/Check", requestStream: false, responseStream: false,
  requestSerialize: (b) => b, requestDeserialize: (b) => b, responseSerialize: (b) => b, responseDeserialize: (b) => b };
const server = new grpc.Server();
// HealthCheckResponse { status: SERVING }.
server.addService({ check: health }, { check: (call, answer) => answer(null, Buffer.from([8, 1])) });
server.bindAsync("127.0.0.1:" + process.env.LATHE_GRPC_PORT, grpc.ServerCredentials.createInsecure(), (error, port) => {
  if (error) throw error;
  const file = process.env.LATHE_READY_FILE;
  writeFileSync(file + ".part", JSON.stringify({ grpcPort: port, httpPort: 1, pid: process.pid }));
  renameSync(file + ".part", file);
});
`;
const services = join(root, "services");
for (const name of SERVICES) {
  mkdirSync(join(services, name), { recursive: true });
  writeFileSync(join(services, name, "main.js"), stub);
}

const stacks: Stack[] = [];
let folders = 0;
const newFolder = () => join(root, `state-${++folders}`);
async function start(
  folder = newFolder(),
  env: Record<string, string> = {},
  say?: (line: string) => void,
): Promise<Stack> {
  const stack = await startStack({ folder, services, env, ...(say && { say }) });
  stacks.push(stack);
  return stack;
}
afterEach(async () => {
  await Promise.all(stacks.splice(0).map((stack) => stack.stop()));
});
afterAll(() => rmSync(root, { recursive: true }));

const failure = (run: Promise<unknown>): Promise<LatheError> =>
  run.then(
    () => Promise.reject(new Error("nothing was thrown")),
    (error: unknown) => LatheError.from(error),
  );

describe("nats-server", () => {
  const guard = startGuard();
  afterAll(() => guard.stop());
  const open = (folder: string, port?: number): Promise<Nats> =>
    startNats({ binary: findNatsServer()!, folder, log: `${folder}.log`, guard, port });

  it("starts on a free port, restarts on the same, and ends with its stop", async () => {
    const folder = newFolder();
    const first = await open(folder);
    await first.child.stop(2000);
    expect(isAlive(first.child.pid)).toBe(false);
    const second = await open(folder, first.port);
    expect(second.url).toBe(first.url);
    await second.child.stop(2000);
    expect(isAlive(second.child.pid)).toBe(false);
  });

  it("reports why it does not start", async () => {
    const folder = newFolder();
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "store"), "a file in the way");
    const error = await failure(open(folder));
    expect(error).toMatchObject({ code: "UNAVAILABLE", reason: "NATS_START_FAILED" });
    expect(error.message).toMatch(/nats-server ended: exit code 1; the end of .*state-\d+\.log:\n.*\S/s);
  });

  it("is searched on PATH first; if it is missing, the error explains how to install it", () => {
    const bin = newFolder();
    mkdirSync(bin);
    writeFileSync(join(bin, "nats-server"), "", { mode: 0o755 });
    expect(findNatsServer(`/nowhere:${bin}`)).toBe(join(bin, "nats-server"));
    expect(findNatsServer("", [])).toBeUndefined();
    expect(() =>
      requireNatsServer(
        () => {},
        () => undefined,
        () => false,
      ),
    ).toThrow('"apt-get install nats-server"');
  });
});

describe("a stack", () => {
  it("has as many training workers as are asked for, with their share of the cores, and addresses of the first ones", async () => {
    const stack = await startStack({ folder: newFolder(), services, workers: 3 });
    stacks.push(stack);
    expect(stack.pids().length).toBe(1 + SERVICES.length + 2);
    expect(Object.keys(stack.addresses()).sort()).toEqual([...SERVICES].sort());
    const logs = ["supernet", "supernet-2", "supernet-3", "latency"].map((name) =>
      readFileSync(join(stack.folder, "logs", `${name}.log`), "utf8"),
    );
    const threads = process.env.LATHE_THREADS ?? String(Math.max(1, Math.floor(availableParallelism() / 3)));
    expect(logs.map((log) => /with (\S+) threads/.exec(log)?.[1])).toEqual([
      ...[threads, threads, threads],
      process.env.LATHE_THREADS ?? "all",
    ]);
  });

  it("serves, keeps its addresses in a file, and leaves no process behind", async () => {
    const stack = await start();
    const pids = stack.pids();
    expect(pids.length).toBe(1 + SERVICES.length);
    expect(pids.every(isAlive)).toBe(true);
    const file = JSON.parse(readFileSync(join(stack.folder, "run", "stack.json"), "utf8")) as { services: unknown };
    expect(file.services).toEqual(stack.addresses());
    expect(readFileSync(stack.logFile("latency"), "utf8")).toContain(`latency starts on ${stack.natsUrl}`);
    await stack.stop();
    expect(pids.filter(isAlive)).toEqual([]);
    expect(readdirSync(stack.folder).sort()).toEqual(["logs", "nats"]);
  });

  it("runs beside another one, but not in the same folder", async () => {
    const [one, two] = await Promise.all([start(), start()]);
    expect(one.natsUrl).not.toBe(two.natsUrl);
    const error = await failure(start(one.folder));
    expect(error).toMatchObject({ code: "FAILED_PRECONDITION", reason: "STATE_IN_USE" });
    expect(error.message).toContain(`pid ${process.pid}`);
    expect(one.pids().every(isAlive)).toBe(true);
  });

  it("restarts a dead process at its address and reports it in a line", async () => {
    const said: string[] = [];
    const stack = await start(newFolder(), {}, (line) => said.push(line));
    const before = stack.addresses();
    stack.kill("shrinking");
    stack.kill("nats");
    await until(() => stack.addresses().shrinking.pid !== before.shrinking.pid);
    expect(stack.addresses().shrinking.grpc).toBe(before.shrinking.grpc);
    expect(said).toContain("shrinking service died (killed by SIGKILL); restarting it (1 of 5)");
    await until(() => said.some((line) => line.startsWith("nats-server died")));
    const pids = stack.pids();
    await stack.stop();
    expect(pids.filter(isAlive)).toEqual([]);
  });

  it("fails with the last lines of the log of a service that does not start, and stops the others", async () => {
    const folder = newFolder();
    const error = await failure(start(folder, { STUB_FAILS: "latency" }));
    expect(error).toMatchObject({ code: "UNAVAILABLE", reason: "SERVICE_START_FAILED" });
    expect(error.message).toMatch(
      /latency service ended: exit code 3; .*latency\.log:\n.*error: no disk for latency$/s,
    );
    expect(existsSync(join(folder, "run"))).toBe(false);
    const nats = /^\[(\d+)]/m.exec(readFileSync(join(folder, "logs", "nats.log"), "utf8"))?.[1];
    expect(isAlive(Number(nats))).toBe(false);
  });

  it("leaves no process behind when its launcher is killed by SIGKILL, and releases its folder", async () => {
    const folder = newFolder();
    const launcher = join(root, "launcher.ts");
    writeFileSync(
      launcher,
      `import { startStack } from ${JSON.stringify(join(__dirname, "stack.ts"))};
       void startStack({ folder: ${JSON.stringify(folder)}, services: ${JSON.stringify(services)} }).then(({ pids }) => console.log(JSON.stringify(pids())));`,
    );
    const tsx = pathToFileURL(require.resolve("tsx")).href;
    const child = spawn(process.execPath, ["--import", tsx, launcher], { stdio: ["ignore", "pipe", "inherit"] });
    const line = await new Promise<string>((resolve, reject) => {
      child.stdout.once("data", (data: Buffer) => resolve(data.toString()));
      child.once("exit", (code) => reject(new Error(`the launcher ended with ${code}`)));
    });
    const pids = JSON.parse(line) as number[];
    expect(pids.every(isAlive)).toBe(true);
    child.kill("SIGKILL");
    await until(() => !pids.some(isAlive));
    await start(folder);
  });
});

describe("the end of a log", () => {
  it("has the last messages, and is empty without a log", () => {
    const log = join(root, "a.log");
    writeFileSync(log, 'one\n{"level":"error","msg":"two"}\n{"half\n');
    expect(lastLines(log)).toBe('  one\n  error: two\n  {"half');
    expect(lastLines(log, 1)).toBe('  {"half');
    expect(lastLines(join(root, "missing.log"))).toBe("");
  });
});
