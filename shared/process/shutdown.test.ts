import { spawn, type ChildProcess } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { entry } from "./entry";
import { createLogger } from "./logger";
import { createShutdown } from "./shutdown";
import { PATIENCE_MS, until } from "../testing/until";

function recorded(graceMs = PATIENCE_MS) {
  const lines: string[] = [];
  const codes: number[] = [];
  const logger = createLogger({ service: "test", write: (line) => lines.push(line) });
  return { lines, codes, shutdown: createShutdown({ logger, graceMs, exit: (code) => codes.push(code) }) };
}

describe("a shutdown", () => {
  it("runs its steps once, one after the other, the last one first", async () => {
    const { shutdown, codes } = recorded();
    const order: string[] = [];
    shutdown.step("nats", () => void order.push(`nats, ${shutdown.signal.aborted}`));
    shutdown.step("consumer", async () => {
      await sleep(20);
      order.push("consumer");
    });
    shutdown.step("rpc", () => void order.push("rpc"));
    await Promise.all([shutdown.stop("SIGTERM", 0), shutdown.stop("again", 3)]);
    expect(order).toEqual(["rpc", "consumer", "nats, true"]);
    expect(codes).toEqual([0]);
  });

  it("goes on after a step that fails or overruns, logs it, and exits with 1", async () => {
    const { shutdown, lines, codes } = recorded();
    let last = false;
    shutdown.step("nats", () => void (last = true));
    shutdown.step("store", () => Promise.reject(new Error("disk is full")));
    shutdown.step("trainer", () => new Promise(() => {}), 30);
    await shutdown.stop("SIGTERM", 0);
    expect(last).toBe(true);
    expect(lines.join("")).toContain("stop of trainer took longer than 30 ms");
    expect(lines.join("")).toContain("disk is full");
    expect(codes).toEqual([1]);
  });

  it("keeps the exit code of the failure that started it", async () => {
    const { shutdown, codes } = recorded();
    await shutdown.stop("uncaughtException", 4);
    expect(codes).toEqual([4]);
  });
});

/** A real service process; `log` grows as it writes. */
function startProcess(env: Record<string, string>) {
  const { path, execArgv } = entry(join(__dirname, "../testing"), "serviceProcess");
  const child = spawn(process.execPath, [...execArgv, path], {
    env: { ...process.env, ...env },
    stdio: ["pipe", "ignore", "pipe"],
  });
  let log = "";
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => (log += chunk));
  const ended = new Promise<number | string | null>((resolve) =>
    child.once("close", (code, signal) => resolve(code ?? signal)),
  );
  const said = async (text: string) => {
    await until(() => {
      if (child.exitCode !== null && !log.includes(text)) throw new Error(`it ended without saying "${text}":\n${log}`);
      return log.includes(text);
    });
  };
  return { child, ended, said, log: () => log };
}

describe("a service process", () => {
  const folder = mkdtempSync(join(tmpdir(), "lathe-boot-"));
  const started: ChildProcess[] = [];
  afterAll(() => {
    for (const child of started) child.kill("SIGKILL");
    rmSync(folder, { recursive: true });
  });
  const start = (env: Record<string, string> = {}) => {
    const one = startProcess(env);
    started.push(one.child);
    return one;
  };

  it("writes its ports to the ready file, stops in order on SIGTERM and exits with 0", async () => {
    const readyFile = join(folder, "ready.json");
    const { child, ended, said, log } = start({ LATHE_READY_FILE: readyFile });
    await said('"msg":"ready"');
    expect(JSON.parse(readFileSync(readyFile, "utf8"))).toEqual({ grpcPort: 1, httpPort: 2, pid: child.pid });
    child.kill("SIGTERM");
    expect(await ended).toBe(0);
    expect(log().indexOf("closing second")).toBeGreaterThan(0);
    expect(log().indexOf("closing second")).toBeLessThan(log().indexOf("closing first"));
  });

  it("exits at once on a second signal", async () => {
    const { child, ended, said } = start({ LATHE_TEST_DO: "hang at stop" });
    await said('"msg":"ready"');
    child.kill("SIGINT");
    await said("stopping");
    child.kill("SIGINT");
    expect(await ended).toBe(130);
  });

  it.each([
    ["throw later", "uncaught error: thrown later"],
    ["reject later", "unhandled rejection: rejected later"],
    ["fail to start", "cannot start: nats is down"],
  ])("that does `%s` says so in one line, stops in order and exits with 1", async (what, line) => {
    const { ended, log } = start({ LATHE_TEST_DO: what });
    expect(await ended).toBe(1);
    expect(
      log()
        .split("\n")
        .filter((one) => one.includes(`"msg":"${line}"`)),
    ).toHaveLength(1);
    expect(log()).toContain("closing first");
  });

  it("names all wrong settings in one line and exits with 2", async () => {
    const readyFile = join(folder, "never.json");
    const { ended, log } = start({ LATHE_GRPC_PORT: "-1", LATHE_LOG_LEVEL: "loud", LATHE_READY_FILE: readyFile });
    expect(await ended).toBe(2);
    expect(log().trim().split("\n")).toHaveLength(1);
    expect(log()).toMatch(/LATHE_LOG_LEVEL.*LATHE_GRPC_PORT/);
    expect(existsSync(readyFile)).toBe(false);
  });

  it("ends when its parent has closed the pipe to it, where the setting asks for it", async () => {
    const { child, ended, said, log } = start({ LATHE_EXIT_WITH_PARENT: "1" });
    await said('"msg":"ready"');
    child.stdin.end();
    expect(await ended).toBe(0);
    expect(log()).toContain("the parent process has ended");
  });
});
