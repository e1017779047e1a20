import { join } from "node:path";
import { credentials, loadPackageDefinition, type Client, type GrpcObject } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { packageRoot } from "../process/root";
import { HealthClient, HealthCheckResponse_ServingStatus as Serving } from "../proto/grpc/health/v1/health";
import { ShrinkingServiceClient, ShrinkingServiceService } from "../proto/lathe/v1/shrinking";
import { startRpc, type TestRpc } from "../testing/rpc";
import { itWith, promtool } from "../testing/prometheus";
import { service } from "./handlers";

const shrinking = service(ShrinkingServiceService, {
  decide: ({ architecture, epoch }) => ({
    removals: [],
    architecture,
    converged: epoch === 300,
    log10Space: 1.5,
    candidatesLeft: 3,
  }),
  simulateSchedule: () => ({ decisions: [] }),
});

let rpc: TestRpc;
beforeEach(async () => {
  rpc = await startRpc([shrinking]);
});
afterEach(() => rpc.stop());

type Calls = Client & Record<string, (...args: unknown[]) => unknown>;
type Message = Record<string, unknown>;

/** A client that knows nothing but .proto text. */
function dynamicClient(definition: ReturnType<typeof loadSync>, name: string): Calls {
  const found = name
    .split(".")
    .reduce<unknown>((scope, part) => (scope as GrpcObject)[part], loadPackageDefinition(definition));
  const made = new (found as new (...args: unknown[]) => Calls)(rpc.address, credentials.createInsecure());
  dynamic.push(made);
  return made;
}
const dynamic: Client[] = [];
afterEach(() => dynamic.splice(0).forEach((client) => client.close()));

const ask = (client: Calls, method: string, request: Message) =>
  new Promise<Message>((resolve, reject) =>
    client[method]!(request, (error: Error | null, response: Message) => (error ? reject(error) : resolve(response))),
  );

const options = { keepCase: false, enums: String, defaults: true, includeDirs: [join(packageRoot(), "proto")] };

describe("a client of @grpc/proto-loader alone", () => {
  it("checks the health of the server and of a service", async () => {
    const health = dynamicClient(loadSync("grpc/health/v1/health.proto", options), "grpc.health.v1.Health");
    expect(await ask(health, "check", { service: "lathe.v1.ShrinkingService" })).toEqual({ status: "SERVING" });
    rpc.readiness.check("nats");
    expect(await ask(health, "check", {})).toEqual({ status: "NOT_SERVING" });
    await expect(ask(health, "check", { service: "lathe.v1.Other" })).rejects.toMatchObject({ code: 5 });
  });

  it("agrees with the generated code on the wire", async () => {
    const client = dynamicClient(loadSync("lathe/v1/shrinking.proto", options), "lathe.v1.ShrinkingService");
    const group = {
      id: "stage1/block2/operation",
      dimension: "DIMENSION_DEPTH",
      alphas: [-0.25, 1e-9],
      survivors: [0, 63],
    };
    const response = await ask(client, "decide", { architecture: { groups: [group] }, epoch: 300, epochs: 9 });
    expect(response).toMatchObject({
      architecture: { groups: [group] },
      converged: true,
      log10Space: 1.5,
      candidatesLeft: 3,
    });
  });
});

describe("health.Watch", () => {
  it("reports the present state, each change, and the stop", async () => {
    const { api } = rpc.connect(HealthClient);
    const nats = rpc.readiness.check("nats");
    const seen: Serving[] = [];
    const watch = async () => {
      for await (const { status } of api.watch({ service: "lathe.v1.ShrinkingService" })) {
        seen.push(status);
        if (seen.length === 1) nats.ok();
        if (seen.length === 2) void rpc.stopServer();
      }
    };
    await expect(watch()).rejects.toMatchObject({ code: "UNAVAILABLE", reason: "SERVER_STOPPING" });
    expect(seen).toEqual([Serving.NOT_SERVING, Serving.SERVING, Serving.NOT_SERVING]);
  });

  it("reports an unknown service and stays open", async () => {
    const { api } = rpc.connect(HealthClient);
    const seen: Serving[] = [];
    for await (const { status } of api.watch({ service: "other" })) {
      seen.push(status);
      break;
    }
    expect(seen).toEqual([Serving.SERVICE_UNKNOWN]);
  });
});

describe("metrics", () => {
  it("have each method at 0 before its first call, then count calls, messages and codes", async () => {
    const labels = 'grpc_type="unary",grpc_service="lathe.v1.ShrinkingService",grpc_method="SimulateSchedule"';
    const before = await rpc.metrics.registry.metrics();
    for (const line of [
      `grpc_server_started_total{${labels}} 0`,
      `grpc_server_handled_total{${labels},grpc_code="OK"} 0`,
      `grpc_server_handled_total{${labels},grpc_code="DeadlineExceeded"} 0`,
      `grpc_server_handling_seconds_count{${labels}} 0`,
      'grpc_server_msg_sent_total{grpc_type="server_stream",grpc_service="grpc.health.v1.Health",grpc_method="Watch"} 0',
    ])
      expect(before.split("\n")).toContain(line);
    await rpc.connect(ShrinkingServiceClient).api.simulateSchedule({ space: undefined, policy: undefined, epochs: [] });
    const after = await rpc.metrics.registry.metrics();
    for (const line of [
      `grpc_server_started_total{${labels}} 1`,
      `grpc_server_handled_total{${labels},grpc_code="OK"} 1`,
      `grpc_server_msg_received_total{${labels}} 1`,
      `grpc_server_msg_sent_total{${labels}} 1`,
      `grpc_server_handling_seconds_count{${labels}} 1`,
    ])
      expect(after.split("\n")).toContain(line);
    expect(rpc.logs.find(({ msg }) => msg === "call")).toMatchObject({ level: "debug", code: "OK" });
  });

  it("follow the naming rules", async () => {
    const text = await rpc.metrics.registry.metrics();
    const types = [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name = "", type]) => ({ name, type }));
    expect(types.length).toBeGreaterThan(20);
    for (const { name, type } of types) {
      expect(name).toMatch(/^[a-z][a-z0-9_]*$/);
      if (name !== "nodejs_version_info") expect(name.endsWith("_total")).toBe(type === "counter");
      expect(name).not.toMatch(/_(ms|millis|counter|gauge|histogram)(_|$)/);
    }
  });

  itWith("promtool")("are metrics that promtool finds nothing wrong with", async () => {
    expect(promtool(["check", "metrics"], await rpc.metrics.registry.metrics())).toEqual({ status: 0, text: "" });
  });
});
