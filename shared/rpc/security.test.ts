import { X509Certificate } from "node:crypto";
import { baseSchema, read } from "../process/config";
import { HealthClient, HealthCheckResponse_ServingStatus as Serving } from "../proto/grpc/health/v1/health";
import { ShrinkingServiceClient, ShrinkingServiceService } from "../proto/lathe/v1/shrinking";
import { makeCertificates } from "../testing/certificates";
import { startRpc, type TestRpc } from "../testing/rpc";
import { connect } from "./client";
import { service } from "./handlers";
import type { ServerOptions } from "./server";
import { serverSettings } from "./settings";

const shrinking = service(ShrinkingServiceService, {
  decide: () => ({ removals: [], architecture: undefined, converged: true, log10Space: 0, candidatesLeft: 0 }),
  simulateSchedule: () => ({ decisions: [] }),
});
const aRequest = { space: undefined, policy: undefined, epochs: [] };

const opened: TestRpc[] = [];
afterEach(async () => {
  await Promise.all(opened.splice(0).map((rpc) => rpc.stop()));
});
async function serve(options: Partial<ServerOptions>) {
  const rpc = await startRpc([shrinking], options);
  opened.push(rpc);
  return rpc;
}

describe("bearer tokens", () => {
  const tokens = ["first-token-12345", "second-token-1234"];

  it.each(tokens)("%s is accepted", async (token) => {
    const rpc = await serve({ tokens });
    const { api } = rpc.connect(ShrinkingServiceClient, { token });
    await expect(api.simulateSchedule(aRequest)).resolves.toEqual({ decisions: [] });
  });

  it.each([
    ["no token", undefined, "no bearer token"],
    ["a wrong token", "first-token-12346", "not known"],
    ["a prefix of a token", "first-token", "not known"],
  ])("%s is refused, counted and not echoed", async (_, token, message) => {
    const rpc = await serve({ tokens });
    const { api } = rpc.connect(ShrinkingServiceClient, { token });
    const call = api.simulateSchedule(aRequest);
    await expect(call).rejects.toMatchObject({
      reason: "UNAUTHENTICATED",
      message: expect.stringContaining(message) as string,
    });
    const text = await rpc.metrics.registry.metrics();
    expect(text).toMatch(/handled_total\{.*grpc_method="SimulateSchedule",grpc_code="Unauthenticated"\} 1/);
    if (token !== undefined) expect(JSON.stringify(rpc.logs)).not.toContain(token);
  });

  it("are not required by health", async () => {
    const { api } = (await serve({ tokens })).connect(HealthClient);
    expect(await api.check({ service: "" })).toEqual({ status: Serving.SERVING });
  });

  it("are not sent unencrypted beyond loopback", () => {
    expect(() => connect(ShrinkingServiceClient, "search.example:443", { token: "x" })).toThrow(/without TLS/);
  });
});

describe("TLS", () => {
  const made = makeCertificates();

  it("serves clients that trust the authority, and none without TLS", async () => {
    const rpc = await serve({ tls: made.server, tokens: ["first-token-12345"] });
    const { api } = rpc.connect(ShrinkingServiceClient, {
      tls: { ca: made.ca, serverName: "localhost" },
      token: "first-token-12345",
    });
    await expect(api.simulateSchedule(aRequest)).resolves.toEqual({ decisions: [] });
    const [, expiry] = /^nas_tls_certificate_expiry_timestamp_seconds (\d+)$/m.exec(
      await rpc.metrics.registry.metrics(),
    )!;
    expect(1000 * Number(expiry)).toBe(Date.parse(new X509Certificate(made.server.cert).validTo));
    for (const tls of [undefined, {}]) {
      await expect(rpc.connect(HealthClient, { tls }).ready(300)).rejects.toMatchObject({ code: "UNAVAILABLE" });
    }
  });

  it("requires a certificate of each client where an authority for clients is set", async () => {
    const rpc = await serve({ tls: { ...made.server, ca: made.ca } });
    const known = rpc.connect(ShrinkingServiceClient, { tls: { ca: made.ca, ...made.client } });
    await expect(known.api.simulateSchedule(aRequest)).resolves.toEqual({ decisions: [] });
    const unknown = rpc.connect(ShrinkingServiceClient, { tls: { ca: made.ca } });
    await expect(unknown.api.simulateSchedule(aRequest, { deadlineMs: 1000 })).rejects.toMatchObject({
      code: expect.stringMatching(/UNAVAILABLE|DEADLINE_EXCEEDED/) as string,
    });
  });

  it("fails at the start where the files are no certificates", async () => {
    const tls = { cert: Buffer.from("x"), key: Buffer.from("y") };
    await expect(serve({ tls })).rejects.toMatchObject({
      message: expect.stringContaining("gRPC cannot listen") as string,
    });
  });
});

it("serverSettings takes TLS, mTLS and tokens from the configuration", () => {
  const file = (content: Buffer) => ({ path: "x", content });
  const made = makeCertificates();
  const base = { ...read(baseSchema, {}), LATHE_GRPC_HOST: "0.0.0.0", LATHE_GRPC_PORT: 7001 };
  const plain = { host: "0.0.0.0", port: 7001, insecure: false, tls: undefined, tokens: undefined };
  expect(serverSettings(base)).toEqual(plain);
  const secured = {
    ...base,
    LATHE_TLS_CERT_FILE: file(made.server.cert),
    LATHE_TLS_KEY_FILE: file(made.server.key),
    LATHE_AUTH_TOKEN_FILE: ["first-token-12345"],
  };
  expect(serverSettings(secured)).toEqual({ ...plain, tls: made.server, tokens: ["first-token-12345"] });
  expect(serverSettings({ ...secured, LATHE_TLS_CA_FILE: file(made.ca) }).tls).toEqual({ ...made.server, ca: made.ca });
});
