import { spawn, type ChildProcess } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client, credentials } from "@grpc/grpc-js";
import { entry } from "../../shared/process/entry";
import type { ReadyFile } from "../../shared/process/boot";
import { HealthCheckResponse_ServingStatus as Serving, HealthClient } from "../../shared/proto/grpc/health/v1/health";
import { SearchServiceClient } from "../../shared/proto/lathe/v1/search";
import { connect } from "../../shared/rpc/client";
import { startNats, type TestNats } from "../../shared/testing/nats";
import { tinySpec } from "../../shared/testing/searches";
import { until } from "../../shared/testing/until";

let nats: TestNats;
const folder = mkdtempSync(join(tmpdir(), "lathe-services-"));
const children: ChildProcess[] = [];
beforeAll(async () => {
  nats = await startNats();
});
afterAll(async () => {
  for (const child of children) child.kill("SIGKILL");
  await nats?.stop();
  rmSync(folder, { recursive: true });
});

/** Starts a service as a process of its own. */
function start(service: string, env: Record<string, string> = {}) {
  const { path, execArgv } = entry(join(__dirname, "..", service), "main");
  const readyFile = join(folder, `${service}-${children.length}.json`);
  const child = spawn(process.execPath, [...execArgv, path], {
    env: { ...process.env, LATHE_NATS_URL: nats.url, LATHE_READY_FILE: readyFile, LATHE_SHUTDOWN_GRACE: "5m", ...env },
    stdio: ["ignore", "ignore", "pipe"],
  });
  children.push(child);
  let log = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (log += text));
  const ended = new Promise<number | string | null>((resolve) =>
    child.once("close", (code, signal) => resolve(code ?? signal)),
  );
  const ready = async (): Promise<ReadyFile> => {
    await until(() => {
      if (child.exitCode !== null) throw new Error(`${service} ended before it was ready:\n${log}`);
      return existsSync(readyFile);
    });
    return JSON.parse(readFileSync(readyFile, "utf8")) as ReadyFile;
  };
  return { child, ended, ready, log: () => log };
}

/** Names of the services that reflection lists, from its raw bytes. */
function reflected(port: number): Promise<string> {
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
  const raw = (bytes: Buffer) => bytes;
  return new Promise((resolve, reject) => {
    const call = client.makeBidiStreamRequest("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", raw, raw);
    call.on("data", (answer: Buffer) => {
      resolve(answer.toString("latin1"));
      call.end();
      client.close();
    });
    call.on("error", reject);
    // ServerReflectionRequest { list_services = 7: "" }
    call.write(Buffer.from([0x3a, 0x00]));
  });
}

describe("the process of a service", () => {
  it.each([
    ["search", "lathe.v1.SearchService", "nas_search_active 0"],
    ["shrinking", "lathe.v1.ShrinkingService", 'nas_shrink_removed_total{dimension="depth"} 0'],
  ])("%s starts, identifies itself, and stops in order", async (service, name, metric) => {
    const { child, ended, ready, log } = start(service);
    const { grpcPort, httpPort, pid } = await ready();
    expect(pid).toBe(child.pid);
    const health = connect(HealthClient, `127.0.0.1:${grpcPort}`);
    expect(await health.api.check({ service: name })).toEqual({ status: Serving.SERVING });
    health.close();
    expect(await reflected(grpcPort)).toContain(name);
    const get = async (path: string) => {
      const answer = await fetch(`http://127.0.0.1:${httpPort}${path}`);
      return { status: answer.status, text: await answer.text() };
    };
    expect(await get("/readyz")).toMatchObject({ status: 200, text: expect.stringContaining('"nats"') as string });
    const { text } = await get("/metrics");
    for (const line of [metric, "nas_nats_reconnects_total 0", "nas_nats_connected 1", "nas_job_lease_lost_total 0"])
      expect(text).toContain(line);
    expect(text).toContain(`grpc_service="${name}"`);
    child.kill("SIGTERM");
    expect([await ended, log().includes('"level":"error"')]).toEqual([0, false]);
  });

  it("search reports that NATS cannot be reached during an outage, and serves again after it", async () => {
    const { child, ended, ready } = start("search");
    const { grpcPort, httpPort } = await ready();
    const connection = connect(SearchServiceClient, `127.0.0.1:${grpcPort}`);
    const { api } = connection;
    const { search } = await api.startSearch({ spec: tinySpec(), requestId: "" });
    const readyz = async () => (await fetch(`http://127.0.0.1:${httpPort}/readyz`)).status;
    const becomes = (status: number) => until(readyz, (answered) => answered === status);
    await nats.kill();
    await becomes(503);
    await nats.restart();
    await becomes(200);
    expect((await api.getSearch({ searchId: search!.id })).search?.id).toBe(search!.id);
    // No latency worker is alive: one that needs a worker only at its end has begun and says so, a search that names its class is refused.
    expect(search?.conditions).toMatchObject([{ type: "Device", reason: "DEVICE_NOT_SERVED" }]);
    const named = api.startSearch({ spec: tinySpec({ profiling: { deviceClass: "cpu" } }), requestId: "" });
    await expect(named).rejects.toMatchObject({
      reason: "DEVICE_NOT_SERVED",
      message: expect.stringContaining("no latency worker is alive") as string,
    });
    connection.close();
    child.kill("SIGTERM");
    expect(await ended).toBe(0);
  });
});
