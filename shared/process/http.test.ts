import { createLogger } from "./logger";
import { createMetrics, type Metrics } from "./metrics";
import { startHttp } from "./http";
import { createReadiness, type Readiness } from "./readiness";

let metrics: Metrics;
let readiness: Readiness;
let server: Awaited<ReturnType<typeof startHttp>>;
const logs: string[] = [];

beforeEach(async () => {
  metrics = createMetrics();
  readiness = createReadiness();
  const logger = createLogger({ service: "test", write: (line) => logs.push(line) });
  server = await startHttp({ host: "127.0.0.1", port: 0, metrics, readiness, logger });
});
afterEach(() => server.stop());

const get = (path: string, init?: RequestInit) => fetch(`http://127.0.0.1:${server.port}${path}`, init);

describe("the http server", () => {
  it.each(["/healthz", "/livez"])("answers %s with 200, ready or not", async (path) => {
    readiness.check("nats");
    expect((await get(path)).status).toBe(200);
  });

  it("answers /readyz with each check and why", async () => {
    const nats = readiness.check("nats");
    const streams = readiness.check("streams", "not bound yet");
    nats.ok();
    const refused = await get("/readyz");
    expect(refused.status).toBe(503);
    expect(await refused.json()).toEqual({
      ready: false,
      checks: [
        { name: "nats", ok: true, why: "" },
        { name: "streams", ok: false, why: "not bound yet" },
      ],
    });
    streams.ok();
    expect((await get("/readyz")).status).toBe(200);
    nats.fail("disconnected");
    expect((await get("/readyz")).status).toBe(503);
    nats.ok();
    readiness.stop("stopping");
    expect(await (await get("/readyz")).json()).toMatchObject({ ready: false });
  });

  it("serves metrics as Prometheus text, and 500 with a log line when one cannot be read", async () => {
    metrics.counter("lathe_things_total", "Things.").inc(3);
    const response = await get("/metrics");
    expect(response.headers.get("content-type")).toContain("text/plain");
    expect(await response.text()).toContain("lathe_things_total 3");
    metrics.gauge("lathe_broken_ratio", "Broken.", [], () => Promise.reject(new Error("no source")));
    expect((await get("/metrics")).status).toBe(500);
    expect(logs.join("")).toContain("no source");
  });

  it("refuses other paths and methods", async () => {
    expect((await get("/")).status).toBe(404);
    expect((await get("/constructor")).status).toBe(404);
    expect((await get("/readyz", { method: "POST" })).status).toBe(405);
    expect((await get("/healthz?full=1", { method: "HEAD" })).status).toBe(200);
  });

  it("fails with the number of a port that is taken", async () => {
    const logger = createLogger({ service: "test" });
    await expect(startHttp({ host: "127.0.0.1", port: server.port, metrics, readiness, logger })).rejects.toMatchObject(
      {
        code: "UNAVAILABLE",
        reason: "PORT_IN_USE",
        message: expect.stringContaining(`127.0.0.1:${server.port}`) as string,
      },
    );
  });
});

it("readiness calls listeners at changes only", () => {
  const changes: boolean[] = [];
  const end = readiness.onChange((ready) => changes.push(ready));
  const check = readiness.check("nats");
  check.fail("still");
  check.ok();
  check.ok();
  check.fail("lost");
  readiness.check("storage", "full", { gates: false });
  expect(readiness.report()).toContainEqual({ name: "storage", ok: false, why: "full" });
  end();
  check.ok();
  expect(changes).toEqual([false, true, false]);
  expect(readiness.ready).toBe(true);
  expect(() => readiness.check("nats")).toThrow(/"nats" exists/);
});
