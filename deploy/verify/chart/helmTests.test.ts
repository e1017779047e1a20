import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "../../../shared/events/bus";
import { provision } from "../../../shared/events/streams";
import { packageRoot } from "../../../shared/process/root";
import { quiet } from "../../../shared/testing/bus";
import { makeCertificates } from "../../../shared/testing/certificates";
import { startNats } from "../../../shared/testing/nats";
import { startRpc } from "../../../shared/testing/rpc";
import { chart } from "./helm";

/** Runs a helm test as its pod does: node -e with the file's text, in the folder of the image. */
async function helmTest(file: string, args: string[], env: Record<string, string> = {}) {
  const script = readFileSync(join(chart, "files", "tests", file), "utf8");
  const child = spawn(process.execPath, ["--enable-source-maps", "-e", script, ...args], {
    cwd: packageRoot(),
    env: { PATH: process.env.PATH, ...env },
  });
  let said = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (text: string) => (said += text));
  const code = await new Promise<number | null>((resolve) => child.on("close", resolve));
  return { code, said };
}

describe("the helm test of gRPC health", () => {
  it("passes if each service serves, and fails if one is not ready", async () => {
    const ready = await startRpc([]);
    const stopping = await startRpc([]);
    stopping.readiness.stop("stopping");
    try {
      expect(await helmTest("health.cjs", [ready.address])).toEqual({ code: 0, said: `${ready.address} SERVING\n` });
      const both = await helmTest("health.cjs", [ready.address, stopping.address]);
      expect(both).toEqual({ code: 1, said: `${ready.address} SERVING\n${stopping.address} NOT_SERVING\n` });
      expect((await helmTest("health.cjs", [])).code).toBe(1);
    } finally {
      await ready.stop();
      await stopping.stop();
    }
  });

  it("uses TLS with the certificate of the services, also as a client certificate", async () => {
    const { ca, server } = makeCertificates();
    const rpc = await startRpc([], { tls: { ...server, ca } });
    const folder = mkdtempSync(join(tmpdir(), "lathe-tls-"));
    const file = (name: string, content: Buffer) => {
      writeFileSync(join(folder, name), content);
      return join(folder, name);
    };
    try {
      const pair = {
        LATHE_TLS_CERT_FILE: file("tls.crt", server.cert),
        LATHE_TLS_KEY_FILE: file("tls.key", server.key),
      };
      const env = { ...pair, LATHE_TLS_CA_FILE: file("ca.crt", ca) };
      const address = `localhost:${rpc.port}`;
      expect(await helmTest("health.cjs", [address], env)).toEqual({ code: 0, said: `${address} SERVING\n` });
    } finally {
      rmSync(folder, { recursive: true });
      await rpc.stop();
    }
  });
});

describe("the helm test of NATS", () => {
  it("passes with the streams of Lathe, and names missing ones", async () => {
    const nats = await startNats();
    try {
      const env = { LATHE_NATS_URL: nats.url };
      expect(await helmTest("nats.cjs", [], env)).toMatchObject({
        code: 1,
        said: expect.stringContaining("stream not found") as string,
      });
      const bus = await connect({ url: nats.url, name: "test", logger: quiet });
      await provision(bus);
      await bus.drain();
      const { code, said } = await helmTest("nats.cjs", [], env);
      expect(said).toMatch(/^stream EVENTS: 0 messages; round trip [\d.]+ ms\n$/);
      expect(code).toBe(0);
      const prefixed = await helmTest("nats.cjs", [], { ...env, LATHE_NATS_PREFIX: "team-a" });
      expect(prefixed).toMatchObject({ code: 1, said: expect.stringContaining("stream team-a_EVENTS: ") as string });
    } finally {
      await nats.stop();
    }
  });
});
